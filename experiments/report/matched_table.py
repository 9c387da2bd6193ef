"""Defenses at equal honest accuracy: students at matched teacher drop, and their differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from experiments.measure.estimate import Estimate, estimates
from experiments.measure.letters import letters, place_of, single
from experiments.measure.matched import TARGETS, Read, TradeOff, at_drop, common_drop, curve
from experiments.measure.panel import ALL
from experiments.measure.quantity import Quantity, difference, shared_seeds
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.measure.verdict import HolmVerdict, verdicts
from experiments.report.floor import floor_note
from experiments.report.grouping import setting_text
from experiments.report.names import family_name, family_order, is_passive, seeds_caveat
from experiments.report.reference import EVERY_PAIR, FIRST, Reference, pairs
from experiments.report.spelling import Value, share
from experiments.report.structure import Column, Table
from experiments.store.maintenance.lineage import Lineage, joined

TOLD_APART = ("lost", "gained")
LETTERS = "Sharing a letter does not say that students are equal."
TOO_MANY = "Where letters are blank there would be too many: each pair stands in the table of pairs and in the CSV."
LEAST_REACH = 0.005
"""A defense that costs honest users less than this at its greatest strength does not limit the common drop."""


@dataclass(frozen=True)
class Comparison:
    """One line: several defenses at one drop.

    Args:
        setting: attack, with its threat model where the report has several.
        family: whose student accuracy and whose honest accuracy (``pooled``: mean over families, all users).
        drop: of honest accuracy.
        common: whether the drop is the largest that all defenses reach, instead of a fixed one.
        accuracy: of the student, by defense.
        difference: of the first defense's student less the second's, by pair, corrected for all comparisons of the report.
        slack: how much lower a student may be at most if the curve is convex, see `experiments.measure.matched`.
        reference: the defense compared with the others, first of each pair; `EVERY_PAIR` where each is with each.
        passive: whether the attack does not answer to the defense.
        lineage: where the cells of each defense come from.
    """

    setting: str
    family: str
    drop: float
    common: bool
    accuracy: dict[str, Estimate]
    difference: dict[tuple[str, str], HolmVerdict]
    slack: dict[str, float]
    reference: str
    passive: bool
    lineage: dict[str, Lineage] = field(default_factory=dict)

    @property
    def of_reference(self) -> dict[str, HolmVerdict]:
        """The reference's student less each other's, by the other; nothing where each is compared with each."""
        return {second: verdict for (first, second), verdict in self.difference.items() if first == self.reference}


class _Reading(NamedTuple):
    """A comparison before it is estimated, and the single strengths that tell how much seeds differ."""

    setting: str
    family: str
    drop: float
    common: bool
    values: dict[str, Read]
    reference: str
    passive: bool
    students: tuple[Quantity, ...]
    undefended: Quantity
    lineage: dict[str, Lineage]


def comparisons(summaries: Sequence[Summary], reference: Reference = FIRST) -> tuple[list[Comparison], list[Summary]]:
    """All comparisons that the results allow, and the summaries they rest on.

    Defenses are compared under one threat model and attack, on the seeds that all their cells have. Defenses without a
    strength have no curve. Where fewer than two defenses have a value there is no comparison. How much seeds differ
    is learnt from all single strengths of a family.

    Args:
        summaries: all of a report, told apart.
        reference: the defense that the others are compared with.

    Raises:
        ConfigError: there is no such defense, and there has to be.
    """
    groups: dict[tuple[object, ...], list[Summary]] = {}
    strong = [s for s in summaries if s.configuration.get("strength") is not None]
    for s in strong:
        groups.setdefault((s.threat, s.attack), []).append(s)
    read: list[_Reading] = []
    used: list[Summary] = []
    reference.require({curve_name(s) for s in strong}, {curve_name(s) for s in summaries} - {""})
    for group in groups.values():
        shared = set.intersection(*(set(s.seeds) for s in group))
        curves: dict[str, list[Summary]] = {}
        for s in group if shared else ():
            curves.setdefault(curve_name(s), []).append(s)
        if len(curves) > 1:
            used += group
            for family in family_order([*sorted({f for s in group for f in s.families}), POOLED]):
                read += _of_family(curves, family, setting_text(group[0], strong), is_passive(group[0]), reference)
    return _estimated(read), used


def _estimated(read: Sequence[_Reading]) -> list[Comparison]:
    accuracies: list[dict[str, Estimate]] = [{} for _ in read]
    gaps: dict[tuple[int, tuple[str, str]], Estimate] = {}
    for family in dict.fromkeys(r.family for r in read):
        places = [i for i, r in enumerate(read) if r.family == family]
        students = [q for i in places for q in read[i].students]
        losses = [difference(read[i].undefended, q) for i in places for q in read[i].students]
        keys = [(i, name) for i in places for name in read[i].values]
        for (i, name), e in zip(keys, estimates([read[i].values[n].value for i, n in keys], students), strict=True):
            accuracies[i][name] = e
        compared = [(i, pair) for i in places for pair in pairs(list(read[i].values), read[i].reference)]
        apart = [difference(read[i].values[a].value, read[i].values[b].value) for i, (a, b) in compared]
        gaps |= dict(zip(compared, estimates(apart, losses), strict=True))
    judged = dict(zip(gaps, verdicts(list(gaps.values())), strict=True))
    return [
        Comparison(
            r.setting,
            r.family,
            r.drop,
            r.common,
            accuracies[i],
            {pair: judged[i, pair] for pair in pairs(list(r.values), r.reference)},
            {name: each.slack for name, each in r.values.items()},
            r.reference,
            r.passive,
            r.lineage,
        )
        for i, r in enumerate(read)
    ]


def curve_name(summary: Summary) -> str:
    """Names of the defense with what tells it apart from others but for its strength."""
    own = str(summary.configuration.get("defense") or "")
    return "+".join(summary.names) + summary.defense.removeprefix(own)


def _of_family(
    by_defense: dict[str, list[Summary]], family: str, setting: str, passive: bool, wanted: Reference
) -> list[_Reading]:
    points = {name: points_of_curve(cells, family) for name, cells in by_defense.items()}
    every = [q for drop, accuracy in (p for own in points.values() for p in own) for q in (drop, accuracy) if q.known]
    cells = [s for own in by_defense.values() for s in own]
    undefended = next((q for q in (s.headline("S_undef", family) for s in cells) if q.known), None)
    reference = wanted.among(by_defense)
    if undefended is None or not every or reference is None:
        return []
    seeds = shared_seeds([undefended, *every])
    if not seeds:
        return []
    undefended = undefended.on(seeds)
    lines = {
        name: curve(undefended, [(d.on(seeds), a.on(seeds)) for d, a in own if d.known and a.known])
        for name, own in points.items()
    }
    students = tuple(a.on(seeds) for own in points.values() for _, a in own if a.known)
    found = []
    origin = {name: joined(s.lineage for s in own) for name, own in by_defense.items()}
    for target, common in _targets([line for line in lines.values() if line is not None]):
        values = {name: at_drop(line, target) for name, line in lines.items()}
        if sum(read.value.known for read in values.values()) > 1:
            facts = setting, family, target, common, values, reference, passive, students, undefended, origin
            found.append(_Reading(*facts))
    return found


def _targets(lines: Sequence[TradeOff]) -> list[tuple[float, bool]]:
    """Drops, each with whether it is the largest common one."""
    targets = [(target, False) for target in TARGETS]
    costly = [line for line in lines if (common_drop([line]) or 0.0) >= LEAST_REACH]
    shared = common_drop(costly) if len(costly) > 1 else None
    if shared is not None and shared not in TARGETS:
        targets.append((shared, True))
    return sorted(targets)


def points_of_curve(cells: Sequence[Summary], family: str) -> list[tuple[Quantity, Quantity]]:
    """(drop of honest accuracy, student accuracy) of each strength."""
    honest = ALL if family == POOLED else family
    return [(s.quantity("honest_drop", honest, "", "strict"), s.headline("S_def", family)) for s in cells]


def matched_table(found: Sequence[Comparison], used: Sequence[Summary]) -> Table | None:
    """The comparisons as a table; None where there are none."""
    if not found:
        return None
    references = list(dict.fromkeys(c.reference for c in found))
    reference, every = references[0], EVERY_PAIR in references
    names = {name for c in found for name, estimate in c.accuracy.items() if estimate.value is not None}
    defenses = sorted(names, key=lambda name: (name != reference, name))
    without = sorted({name for c in found for name in c.accuracy} - names)
    shown, left_out = worth_showing(found)
    rows: list[dict[str, Value]] = []
    for c in shown:
        row: dict[str, Value] = {
            "attack": c.setting,
            "family": family_name(c.family),
            "drop": f"{100 * c.drop:.1f}" + ("*" if c.common else ""),
        }
        row |= {name: c.accuracy.get(name) for name in defenses}
        if not every:
            row |= {
                _minus(pair, references): verdict.estimate for pair, verdict in c.difference.items() if pair[1] in names
            }
        else:
            row["letters"] = letters_text(c)
        rows.append(row)
    compared = sorted({pair for c in found if not every for pair in c.difference if pair[1] in names})
    columns = (
        Column("attack", "attack", "text", 0),
        Column("family", "family", "text", 0),
        Column("drop", "drop", "text", 0),
        *(Column(name, name) for name in defenses),
        *([Column("letters", "share a letter: not told apart", "text", 2)] if every else []),
        *(Column(_minus(pair, references), _less(pair, references), "share", 2) for pair in compared),
    )
    notes = [
        "Drop: points of honest accuracy in the family (pooled: of all honest users). Of strengths that cost honest users "
        "nothing the best counts; in between, student accuracy lies on straight lines. Blank (–) where the drop was not "
        "reached: nothing is extrapolated.",
        f"{corrected(found)} {LETTERS}" if every else corrected(found),
    ]
    slack = max((value for c in shown for value in c.slack.values()), default=0.0)
    if slack > 0:
        notes.append(
            "If students fall ever more slowly as the drop grows, straight lines lie above them: by at most "
            f"{share(slack, 3)} here (each value's bound is in the CSV)."
        )
    gaps = {
        f: [v.estimate for c in shown if c.family == f for v in c.difference.values()]
        for f in family_order(sorted({c.family for c in shown}))
    }
    notes.append(floor_note("difference at equal honest accuracy", gaps))
    if every and not all(row["letters"] for row in rows):
        notes.append(TOO_MANY)
    if without:
        notes.append(f"Costs honest users too little to be compared: {', '.join(without)}.")
    if left_out:
        notes.append(f"No difference is resolved in {', '.join(left_out)}: left out here, in the CSV.")
    if any(c.common for c in shown):
        notes.append("* the largest drop that all defenses with a value in the row reach.")
    beneath = "Difference" if len(references) > 1 else f"Difference: {reference} less the other"
    beneath = "Letters" if every else beneath
    return Table(
        "matched",
        "Student accuracy at equal honest accuracy",
        columns,
        tuple(rows),
        tuple(filter(None, (*notes, seeds_caveat(used)))),
        ("Student accuracy", beneath),
    )


def letters_text(c: Comparison) -> str:
    """``a antidistillation; b permuted, temperature``: the defenses of a line by letter, the lowest student first; two share
    a letter if and only if they are not told apart (`experiments.measure.letters`). "" where that takes too many."""
    known = {name: e.value for name, e in c.accuracy.items() if e.value is not None}
    order = sorted(known, key=lambda name: (known[name], name))
    found = letters(order, [pair for pair, verdict in c.difference.items() if verdict.reading in TOLD_APART])
    own = {name: single(text) for name, text in found.items()}
    every = sorted({letter for names in own.values() for letter in names}, key=place_of)
    return "; ".join(f"{letter} {', '.join(n for n in order if letter in own[n])}" for letter in every)


def corrected(found: Sequence[Comparison]) -> str:
    """What the intervals of differences are corrected for."""
    count = sum(len(c.difference) for c in found)
    return f"Differences: intervals corrected for the report's {count} comparisons (Holm)."


def _minus(pair: tuple[str, str], references: Sequence[str]) -> str:
    """Key of a difference; where there are several references it names its own."""
    return f"minus {pair[1]}" if len(references) == 1 else f"{pair[0]} minus {pair[1]}"


def _less(pair: tuple[str, str], references: Sequence[str]) -> str:
    return f"less {pair[1]}" if len(references) == 1 else f"{pair[0]} less {pair[1]}"


def worth_showing(found: Sequence[Comparison]) -> tuple[list[Comparison], list[str]]:
    """The pooled comparisons and those of families in which some difference is resolved; names of the families left out."""
    resolved = {c.family for c in found if any(v.reading in TOLD_APART for v in c.difference.values())} | {POOLED}
    left_out = [family for family in family_order(sorted({c.family for c in found})) if family not in resolved]
    return [c for c in found if c.family in resolved], [family_name(family) for family in left_out]
