"""Students judged by where they stand between two others, the one that imitates an API without a defense and a lower one:
how much of what a defense took an attack regains, how much of a gain a student keeps. No claim of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from configs.errors import ConfigError
from experiments.claims.matched_l1 import in_words, judged
from experiments.measure.estimate import estimates
from experiments.measure.quantity import Quantity, difference, linear, quotient
from experiments.measure.summary import Summary
from experiments.measure.verdict import HolmVerdict, Reading
from experiments.report.finding import UNMEASURED, Finding, Ground, says
from experiments.report.floor import floor_note
from experiments.report.frontier_table import CALIBRATED
from experiments.report.names import family_name, seeds_caveat
from experiments.report.spelling import Value
from experiments.report.structure import Column, Table

_OF_ATTACK = ("attack", "harvest", "recover", "adaptive", "objective", "refine", "knowledge")
"""Keys of a configuration that say what the attack is."""


class Between(NamedTuple):
    """A student, and the two between which it is expected.

    Args:
        own: its cell.
        imitated: cell of plain imitation, defended as ``own`` is, which the student is compared with; its undefended
            student is the upper one.
        lower: measure of ``imitated`` that is the lower one: ``S_def`` or ``S_base``.
        family: in which.
    """

    own: Summary
    imitated: Summary
    lower: str
    family: str

    @property
    def gap(self) -> Quantity:
        """The upper student less the lower one."""
        return difference(*self._ends)

    @property
    def regained(self) -> Quantity:
        """The student less the lower one."""
        return difference(self.own.headline("S_def", self.family), self._ends[1])

    def beyond(self, share: float) -> Quantity:
        """The student less what stands at this share of the gap; positive where it comes farther."""
        upper, lower = self._ends
        terms = [(1.0, self.own.headline("S_def", self.family)), (-share, upper), (share - 1.0, lower)]
        return linear([term for term in terms if term[0]])

    @property
    def _ends(self) -> tuple[Quantity, Quantity]:
        return self.imitated.headline("S_undef", self.family), self.imitated.headline(self.lower, self.family)


class Words(NamedTuple):
    """How a claim says what was measured; each is formatted with the fields ``defense``, ``attack``, ``family``, ``often``.

    Args:
        start: of the sentence.
        gap: upper student less lower one.
        beyond: the student less what stands at the claim's share of the gap.
    """

    start: str
    gap: str
    beyond: str


class Sought(NamedTuple):
    """What a claim rests on, whether or not it was measured.

    Args:
        what: it, in words.
        found: the students that show it.
    """

    what: str
    found: tuple[Between, ...]


def finding(
    wanted: Sequence[Sought], share: float, contradicts: Sequence[Reading], words: Words, name: str, title: str
) -> Finding | None:
    """What the students say of a claim that each of them comes farther than ``share`` of its gap; None where there is none.

    A student supports the claim where the corrected interval of `Between.beyond` lies above 0, and contradicts it where its
    reading is one of ``contradicts``. Where the gap itself is not shown to be there it says nothing. All gaps and students
    are corrected together (Holm). What was wanted and not measured is open.

    Args:
        wanted: all that the claim rests on.
        share: of the gap, in [0, 1).
        contradicts: readings, of which ``gained`` means that the student stays below ``share``.
        words: for the sentence and the grounds.
        name: of the table.
        title: of the table.
    """
    places = [one for each in wanted for one in each.found if one.beyond(share).known]
    if not places:
        return None
    ends = {(id(one.imitated), one.family): one for one in places}
    gaps, beyond = judged([[one.gap for one in ends.values()], [one.beyond(share) for one in places]])
    opened = dict(zip(ends, gaps, strict=True))
    evidence = [
        Ground(_said(words.beyond, one), verdict, says(verdict.reading, ["lost"], contradicts))
        if opened[id(one.imitated), one.family].reading == "lost"
        else Ground(_said(words.beyond, one), verdict, "open")
        for one, verdict in zip(places, beyond, strict=True)
    ]
    told = [Ground(_said(words.gap, one), opened[key], "open") for key, one in ends.items()]
    measured = [any(one is place for place in places for one in each.found) for each in wanted]
    missing = [Ground(each.what, UNMEASURED, "open") for each, known in zip(wanted, measured, strict=True) if not known]
    table = _table(places, opened, beyond, share, name, title)
    return Finding(in_words(words.start, [*told, *evidence]), (*evidence, *missing), table)


def under(summaries: Sequence[Summary], defense: str, strength: str, attack: str) -> list[Summary]:
    """Cells of one defense alone under an attack.

    Args:
        summaries: of a report.
        defense: its name.
        strength: as it is written on a command line: ``0.2``, or ``drop:0.05`` where it was calibrated.
        attack: name of the attack.
    """
    unit, value = strength_of(strength)
    keys = ("strength", *CALIBRATED.values())
    own = [s for s in summaries if s.names == (defense,) and s.configuration.get("attack") == attack]
    if unit:
        return [s for s in own if s.configuration.get(CALIBRATED[unit]) == value]
    stated = [[s.configuration.get(key) for key in keys] for s in own]
    return [s for s, found in zip(own, stated, strict=True) if found == [value, *(None for _ in CALIBRATED)]]


def strength_of(word: str) -> tuple[str, float]:
    """``drop:0.05`` → ("drop", 0.05), ``0.2`` → ("", 0.2); raises `ConfigError` for anything else."""
    unit, _, value = word.rpartition(":")
    try:
        number = float(value)
    except ValueError as error:
        raise ConfigError("strength", word, "must be a number, or drop:NUMBER or l1:NUMBER") from error
    if unit and unit not in CALIBRATED:
        raise ConfigError("strength", word, "is calibrated to nothing that is known", list(CALIBRATED))
    return unit, number


def pairs(
    attacked: Sequence[Summary],
    imitated: Sequence[Summary],
    families: Sequence[str],
    lower: str = "S_def",
    free: Sequence[str] = (),
) -> tuple[Between, ...]:
    """Each student of an attack with that of plain imitation which differs in nothing but the attack.

    Args:
        attacked: cells of the attack.
        imitated: cells of plain imitation.
        families: in which they are compared.
        lower: see `Between`.
        free: fields of the budget in which the two may differ.
    """
    known = [(_rest(s, free), s) for s in imitated]
    return tuple(
        Between(own, other, lower, family)
        for family in families
        for own in attacked
        for rest, other in known
        if rest == _rest(own, free)
    )


def _rest(summary: Summary, free: Sequence[str]) -> str:
    """All of a configuration but what is of the attack, and some fields of its budget."""

    def kept(path: str, value: Any) -> Iterator[tuple[str, Any]]:
        for key, inner in value.items():
            here = f"{path}.{key}" if path else key
            if here in left_out:
                continue
            yield (key, dict(kept(here, inner))) if isinstance(inner, Mapping) else (key, inner)

    left_out = {*_OF_ATTACK, "settings.attack", *free, *(f"settings.budget.{field}" for field in free)}
    return json.dumps(dict(kept("", summary.configuration)), sort_keys=True, default=str)


def often(summary: Summary) -> float:
    """Queries for each prompt that the attacker owns."""
    return float(summary.configuration["queries"]) / float(summary.configuration["data"])


def _said(words: str, one: Between) -> str:
    return words.format(
        defense=one.own.defense, attack=one.own.attack, family=family_name(one.family), often=f"{often(one.own):g}"
    )


def _table(
    places: Sequence[Between],
    opened: Mapping[tuple[int, str], HolmVerdict],
    beyond: Sequence[HolmVerdict],
    share: float,
    name: str,
    title: str,
) -> Table:
    """Each student, the two it stands between, and how far it comes."""
    gained = estimates([quotient(one.regained, one.gap) for one in places])
    rows: list[dict[str, Value]] = []
    for one, verdict, part in zip(places, beyond, gained, strict=True):
        rows.append(
            {
                "defense": one.own.defense,
                "attack": one.own.attack,
                "family": family_name(one.family),
                "often": often(one.own),
                "upper": one.imitated.headline_estimate("S_undef", one.family),
                "lower": one.imitated.headline_estimate(one.lower, one.family),
                "gap": opened[id(one.imitated), one.family].estimate,
                "student": one.own.headline_estimate("S_def", one.family),
                "undefended": one.own.headline_estimate("S_undef", one.family),
                "share": part,
                "beyond": verdict.estimate,
                "p": verdict.p,
                "reading": {"lost": "above", "gained": "below"}.get(verdict.reading, verdict.reading),
            }
        )
    half = f"{share:.0%} of the gap" if share else "lower"
    base = all(one.lower == "S_base" for one in places)
    columns = (
        Column("defense", "defense", "text", 0),
        Column("attack", "attack", "text", 0),
        Column("family", "family", "text", 0),
        Column("often", "queries a prompt", "number"),
        Column("upper", "upper"),
        Column("lower", "lower"),
        Column("gap", "gap"),
        Column("student", "student"),
        Column("undefended", "same attack undefended"),
        Column("share", "share of gap"),
        Column("beyond", f"above {half}"),
        Column("p", "p (Holm)", "p"),
        Column("reading", "reading", "text"),
    )
    note = (
        "Greedy accuracy. Upper: the student of plain imitation without a defense; lower: "
        f"{'the student before any query' if base else 'that of plain imitation under the defense'}. Intervals of the gap "
        f"and of what the student is above {half}, and p, are corrected together (Holm); the student is above, or below, "
        "where the interval excludes 0; unchanged where it lies within ±.05; otherwise undecided."
    )
    floors = {
        f: [v.estimate for one, v in zip(places, beyond, strict=True) if one.family == f]
        for f in dict.fromkeys(one.family for one in places)
    }
    notes = (note, floor_note("difference", floors), seeds_caveat([one.own for one in places]))
    return Table(name, title, columns, tuple(rows), tuple(filter(None, notes)))
