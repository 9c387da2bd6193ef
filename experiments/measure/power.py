"""Before a sweep: the smallest difference that it can show, and how many seeds a wished one takes. Knows no store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

from experiments.measure.estimate import critical
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED

POWER = 0.8
"""Share of sweeps that are to show a difference which is there."""
COMMON = 0.3
"""Correlation of cells on the same seeds that is reckoned with."""
STATED = {"chain": 0.05, "tool": 0.034, "facts": 0.022, "code": 0.014}
"""Standard deviation between seeds of a student's accuracy, as measured in the mini world."""
MOST = 1000
"""More seeds than this are not counted."""


def stated(items: int) -> dict[str, float]:
    """By family, the standard deviation of one seed's difference between two students of `STATED`, both scored on so many
    items, of which 9 in 10 are right."""
    return {family: float(np.sqrt(2 * (sd**2 + 0.09 / items))) for family, sd in STATED.items()}


def measured(summaries: Sequence[Summary]) -> dict[str, float]:
    """By family, the standard deviation of one seed's loss of transfer against the undefended twin, the median over the
    defended cells whose estimates speak of seeds; families without one are missing."""
    found = {}
    for family in dict.fromkeys([*(f for s in summaries for f in s.families), POOLED]):
        lost = [s.headline_estimate("transfer_lost", family) for s in summaries if s.names]
        known = [e.error * np.sqrt(e.seeds or 1) for e in lost if e.error is not None and e.freedom is not None]
        if known:
            found[family] = float(np.median(known))
    return found


def smallest(sd: float, seeds: int, cells: int) -> float:
    """The smallest difference whose interval excludes 0.

    Args:
        sd: of one seed's difference.
        seeds: at least 2.
        cells: of the table, which tell the variance together.
    """
    return critical(_freedom(seeds, cells)) * sd / float(np.sqrt(seeds))


def seeds_for(difference: float, sd: float, cells: int) -> int | None:
    """The fewest seeds with which `POWER` of all sweeps show the difference; None for more than `MOST`."""
    for seeds in range(2, MOST + 1):
        freedom = _freedom(seeds, cells)
        reach = critical(freedom) + float(stdtrit(freedom, POWER))
        if reach * sd / np.sqrt(seeds) <= difference:
            return seeds
    return None


def _freedom(seeds: int, cells: int) -> float:
    """As in `experiments.measure.spread`."""
    return (seeds - 1) * cells / (1 + (cells - 1) * COMMON**2)
