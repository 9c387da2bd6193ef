"""Defenses where they cost honest users the same by construction: what a student learns there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from experiments.measure.estimate import Estimate
from experiments.measure.panel import ALL
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.floor import floor_note
from experiments.report.grouping import setting_text
from experiments.report.names import family_name, family_order, seeds_caveat
from experiments.report.spelling import Value
from experiments.report.structure import Column, Table

CALIBRATED = {"drop": "calibrated_drop", "l1": "calibrated_l1"}
"""Keys of a configuration: what its strength was calibrated to, a drop of honest accuracy or a distance of what is sold."""

Target = tuple[str, float]
"""One of `CALIBRATED`, and how much of it."""

NOTE = (
    "Transfer to the student where the defense was calibrated, on items of the provider's own, to cost honest users so many "
    "points of accuracy over all families, or to sell probabilities so far from the truth (L1). Lost: what it cost on "
    "held-out items, in the family (pooled: all users). As it is: defenses without a strength, at another strength, or at "
    "their strongest where they cannot cost as much."
)


class FrontierLine(NamedTuple):
    """One defense under one attack.

    Args:
        setting: attack, with its threat model where the report has several.
        defense: its name; of a strength that was stated, its label.
        at: its cells by what they were calibrated to.
        stated: the cell that was not calibrated, if that is what the line is of.
    """

    setting: str
    defense: str
    at: dict[Target, Summary]
    stated: Summary | None = None

    @property
    def costliest(self) -> Summary:
        """The cell at the greatest price."""
        return self.stated or self.at[max(self.at)]


def lines(summaries: Sequence[Summary]) -> list[FrontierLine]:
    """Of a report any of whose cells was calibrated: by setting the undefended API, then the defenses, by what the student
    has learnt at the greatest price. None of other reports."""
    calibrated: dict[tuple[str, str], dict[Target, Summary]] = {}
    found: list[FrontierLine] = []
    for s in summaries:
        target, setting = _target(s), setting_text(s, summaries)
        if target is None:
            found.append(FrontierLine(setting, s.defense, {}, s))
        else:
            calibrated.setdefault((setting, "+".join(s.names)), {})[target] = s
    if not calibrated:
        return []
    found += [FrontierLine(*key, at) for key, at in calibrated.items()]
    settings = list(dict.fromkeys(setting_text(s, summaries) for s in summaries))
    return sorted(found, key=lambda line: (settings.index(line.setting), *_rank(line)))


def targets_of(found: Sequence[FrontierLine]) -> list[Target]:
    """All that any line was calibrated to."""
    return sorted({target for line in found for target in line.at})


def learnt(summary: Summary | None, family: str) -> Estimate | None:
    """Transfer to the student; None where there is no cell."""
    return None if summary is None else summary.headline_estimate("transfer", family)


def frontier_table(summaries: Sequence[Summary]) -> Table | None:
    """A row per family, attack and defense; None where no cell was calibrated."""
    found = lines(summaries)
    if not found:
        return None
    families = [POOLED, *family_order(sorted({f for s in summaries for f in s.families}))]
    targets = targets_of(found)
    several = len({line.setting for line in found}) > 1
    columns = (
        Column("family", "family", "text", 0),
        *([Column("attack", "attack", "text", 0)] if several else []),
        Column("defense", "defense", "text", 0),
        *(Column(f"transfer {at}", f"at {spelt(at)}") for at in targets),
        Column("transfer", "as it is"),
        *(
            column
            for at in targets
            for column in (
                Column(f"strength {at}", f"strength at {spelt(at)}", "text", 2),
                Column(f"lost {at}", f"lost at {spelt(at)}", "share", 2),
            )
        ),
        Column("lost", "lost as it is", "share", 2),
    )
    lost = {f: [s.headline_estimate("transfer_lost", f) for s in summaries if s.names] for f in families}
    notes = (NOTE, floor_note("loss of transfer against the undefended attack", lost), seeds_caveat(summaries))
    return Table(
        "frontier",
        "Students where defenses cost honest users the same",
        columns,
        tuple(_row(line, family, targets) for family in families for line in found),
        tuple(filter(None, notes)),
        ("What moved: transfer", "Strengths, and what honest users lost"),
    )


def spelt(target: Target) -> str:
    """``1 point``, ``2.5 points``; ``L1 0.5``."""
    unit, value = target
    return f"L1 {value:g}" if unit == "l1" else f"{100 * value:g} point{'' if value == 0.01 else 's'}"


def _target(summary: Summary) -> Target | None:
    found = {unit: summary.configuration.get(key) for unit, key in CALIBRATED.items()}
    return next(((unit, float(value)) for unit, value in found.items() if value is not None), None)


def _row(line: FrontierLine, family: str, targets: Sequence[Target]) -> dict[str, Value]:
    row: dict[str, Value] = {"family": family_name(family), "attack": line.setting, "defense": line.defense}
    for at in targets:
        cell = line.at.get(at)
        row |= {
            f"transfer {at}": learnt(cell, family),
            f"strength {at}": _strength(cell),
            f"lost {at}": _lost(cell, family),
        }
    return row | {"transfer": learnt(line.stated, family), "lost": _lost(line.stated, family)}


def _rank(line: FrontierLine) -> tuple[bool, float, str]:
    moved = line.costliest.headline_estimate("transfer", POOLED).value
    return bool(line.costliest.names), float("inf") if moved is None else moved, line.defense


def _strength(summary: Summary | None) -> str | None:
    """``lam=0.2``, as it stands in the label of the defense."""
    return None if summary is None else summary.defense.partition("(")[2].partition(")")[0]


def _lost(summary: Summary | None, family: str) -> Estimate | None:
    honest = ALL if family == POOLED else family
    return None if summary is None else summary.estimate("honest_drop", honest, "", "strict")
