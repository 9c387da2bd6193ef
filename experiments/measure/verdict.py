"""What many comparisons show together: Holm's correction of their p-values, and intervals and readings that agree
with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from experiments.measure.estimate import LEVEL, Estimate

Reading = Literal["lost", "gained", "unchanged", "undecided"]
MARGIN = 0.05
"""A change within ± this counts as none."""


class HolmVerdict(NamedTuple):
    """One of several comparisons.

    Args:
        estimate: at the level of its Holm step: the interval excludes 0 exactly where ``p`` is at most .05.
        p: corrected; None where nothing is known of seeds.
        reading: `read` of the estimate.
    """

    estimate: Estimate
    p: float | None
    reading: Reading


def verdicts(estimates: Sequence[Estimate]) -> list[HolmVerdict]:
    """All comparisons of a report, corrected for their number (Holm 1979): at most 5 % of reports read a loss or gain that
    is not there."""
    raw = np.array([np.nan if e.p is None else e.p for e in estimates], np.float64)
    adjusted = holm(raw)
    steps = _steps(raw)
    found = []
    for estimate, p, step in zip(estimates, adjusted.tolist(), steps.tolist(), strict=True):
        own = estimate.at(1 - (1 - LEVEL) / step) if step else estimate
        found.append(HolmVerdict(own, None if p != p else p, read(own)))
    return found


def read(loss: Estimate, margin: float = MARGIN) -> Reading:
    """``lost`` or ``gained`` where the interval excludes 0, ``unchanged`` where it lies within ±margin, else
    ``undecided``, as is what speaks of items alone."""
    if not loss.about_seeds or loss.value is None:
        return "undecided"
    if loss.resolved:
        return "lost" if loss.value > 0 else "gained"
    return "unchanged" if loss.within(margin) else "undecided"


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """(m,) p-values adjusted step-down: max over j ≤ i of (m − j + 1)·p_(j), at most 1 (Holm 1979). NaN stays and does not
    count towards m."""
    raw = np.asarray(p, dtype=np.float64)
    adjusted = np.full(raw.shape, np.nan)
    known = np.flatnonzero(np.isfinite(raw))
    order = known[np.argsort(raw[known], kind="stable")]
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(raw[order] * np.arange(len(order), 0, -1)))
    return adjusted


def _steps(p: NDArray[np.float64]) -> NDArray[np.int64]:
    """(m,) by how many tests the level of each is divided; from the first that is not rejected on it stays. 0 for NaN."""
    steps = np.zeros(p.shape, np.int64)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    left = len(order)
    for place in order:
        steps[place] = left
        if p[place] <= (1 - LEVEL) / left:
            left = max(left - 1, 1)
    return steps
