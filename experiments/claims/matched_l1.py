"""Cells whose sold probabilities are as far from the truth by calibration (``l1:0.5``), what their students learnt and
what they cost those who read them. No claim of its own."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.estimate import Estimate, estimates
from experiments.measure.quantity import Quantity, difference, linear
from experiments.measure.summary import Summary
from experiments.measure.verdict import HolmVerdict, read, verdicts
from experiments.report.finding import Ground, Says
from experiments.report.frontier_table import CALIBRATED
from experiments.report.spelling import enumeration, with_interval

SMALLER_THAN_MAD = 0.04
"""Student accuracy that counts as no difference in these claims. Mazeika et al. call .426 (MAD) against .385 (a random
vertex) a difference and .380 (reverse sigmoid) none: what is "about" the same has to be less than .041 apart."""
FEW_TOKENS = 0.01
"""Share of tokens whose first listed token may change uncounted: the least that Mazeika et al. match defender error at."""


def distance(summary: Summary) -> float | None:
    """What its strength was calibrated to, in L1; None where it was not."""
    found = summary.configuration.get(CALIBRATED["l1"])
    return None if found is None else float(found)


def sold_cells(summaries: Sequence[Summary], defense: str, attack: str) -> list[Summary]:
    """Calibrated cells of the defense alone under the attack, by their distance."""
    own = [s for s in summaries if s.names == (defense,) and s.configuration.get("attack") == attack]
    return sorted((s for s in own if distance(s) is not None), key=lambda s: distance(s) or 0.0)


def matched_pairs(
    summaries: Sequence[Summary], first: str, second: str, attack: str, l1: float
) -> list[tuple[Summary, Summary]]:
    """Cells of two defenses with one threat model and distance."""
    own, others = ([s for s in sold_cells(summaries, name, attack) if distance(s) == l1] for name in (first, second))
    return [(a, b) for a in own for b in others if a.threat == b.threat]


def student_gap(first: Summary, second: Summary, family: str) -> Quantity:
    """The first cell's student less the second's."""
    return difference(first.headline("S_def", family), second.headline("S_def", family))


def taken(summary: Summary, family: str) -> Quantity:
    """The undefended student less the cell's own."""
    return difference(summary.headline("S_undef", family), summary.headline("S_def", family))


def first_changed(summary: Summary) -> Quantity:
    """Share of tokens whose first listed token is not the teacher's: the defender's error as far as the defense adds to it.
    Not bounded, so that it is judged as other differences are."""
    kept = summary.quantity("sold_top1")
    return linear([(-1.0, kept)], 1 - kept.point) if kept.known else kept


def judged(columns: Sequence[Sequence[Quantity]], beside: Sequence[Quantity] = ()) -> list[list[HolmVerdict]]:
    """Verdicts on all quantities, corrected together; those of one column vary alike.

    Args:
        columns: of quantities of one kind.
        beside: more of the first column's kind.
    """
    found: list[Estimate] = []
    for at, column in enumerate(columns):
        found += estimates(column, () if at else beside)
    corrected = iter(verdicts(found))
    return [[next(corrected) for _ in column] for column in columns]


def about_none(verdict: HolmVerdict, margin: float) -> Says:
    """Whether a difference is one of equivalence: supported where its interval lies within ±margin, contradicted where it
    excludes 0 and does not."""
    if not verdict.estimate.about_seeds:
        return "open"
    if verdict.estimate.within(margin):
        return "supports"
    return "contradicts" if read(verdict.estimate, margin) in ("lost", "gained") else "open"


def at_least_none(verdict: HolmVerdict, margin: float) -> Says:
    """Whether a difference is 0 or more: supported where its interval lies above -margin, contradicted where it lies below 0
    and does not."""
    low = verdict.estimate.low
    if not verdict.estimate.about_seeds or low is None:
        return "open"
    if low >= -margin:
        return "supports"
    return "contradicts" if read(verdict.estimate, margin) == "gained" else "open"


def in_words(start: str, evidence: Sequence[Ground]) -> str:
    """A sentence of what was measured, each with its corrected interval; "" where nothing was."""
    told = [
        f"{ground.what} {with_interval(ground.found.estimate, 'share')}"
        for ground in evidence
        if ground.found.estimate.value is not None
    ]
    return f"{start}: {enumeration(told)}." if told else ""
