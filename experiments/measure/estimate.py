"""What is printed of a quantity: one t distribution gives the interval, the p-value and the verdict. Knows no table layout.

The standard error comes from all cells of the column together (`experiments.measure.spread`): `estimates` takes a
column at once. Intervals are value ± t·error; shares (accuracies), which vary less the nearer they are to 0 or 1, have a
score interval, `share_interval`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from experiments.measure.quantity import MISSING, NOISE, PSEUDO, Array, Quantity
from experiments.measure.spread import MOST, spread

LEVEL = 0.95
CLUMP = 4.0
"""Most that `_clumped` counts answers as one."""
STEADY = 4.0
"""A denominator counts from so many standard errors on: below, a ratio is too skewed for a symmetric interval (simulated:
`python -m benchmarks.coverage`)."""


class Estimate(NamedTuple):
    """A value with the interval that is printed.

    Args:
        value: None where it is blank, with a ``reason``.
        low: lower limit; None without an interval.
        high: upper limit.
        reason: why it is blank, or a remark.
        error: standard error, where the interval comes from a t distribution.
        freedom: its degrees of freedom; None where the error is that of the items alone.
        seeds: number of seeds behind the value, where it is over seeds.
        mark: how it was read off a curve, see `experiments.measure.matched`.
        bounded: whether it can only be in [0, 1].
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    error: float | None = None
    freedom: float | None = None
    seeds: int | None = None
    mark: str = ""
    bounded: bool = False

    @property
    def p(self) -> float | None:
        """Two-sided p-value of 0: at most .05 exactly where the 95 % interval excludes 0; None where nothing is known of
        seeds, and for a share, of which nobody asks that."""
        if self.value is None or self.error is None or self.freedom is None or self.bounded:
            return None
        if self.error == 0:
            return 1.0 if self.value == 0 else 0.0
        return float(2 * stdtr(self.freedom, -abs(self.value) / self.error))

    @property
    def resolved(self) -> bool:
        """Whether the interval exists and excludes 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def about_seeds(self) -> bool:
        """Whether the interval speaks of other seeds too, not of other items for these alone."""
        return self.freedom is not None or self.error is None

    def within(self, margin: float) -> bool:
        """Whether the whole interval lies in [-margin, margin]."""
        return self.low is not None and self.high is not None and -margin <= self.low and self.high <= margin

    def at(self, level: float) -> Estimate:
        """The same with the interval of another level; a share keeps its own."""
        if self.value is None or self.error is None or self.bounded:
            return self
        half = self.error * critical(self.freedom, level)
        return self._replace(low=self.value - half, high=self.value + half)


def critical(freedom: float | None, level: float = LEVEL) -> float:
    """The t quantile of a two-sided interval; the normal one without degrees of freedom."""
    return float(stdtrit(MOST if freedom is None else freedom, (1 + level) / 2))


def estimates(quantities: Sequence[Quantity], beside: Sequence[Quantity] = ()) -> list[Estimate]:
    """What to print of a column: one measure and family over the cells of a table.

    Args:
        quantities: of the column.
        beside: more quantities of the same kind, which help to learn how much seeds differ.
    """
    found = [Estimate(None, reason=q.reason or MISSING) for q in quantities]
    for i in in_noise_over(quantities):
        found[i] = Estimate(None, reason=NOISE)
    rows = [i for i, q in enumerate(quantities) if q.known and found[i].reason != NOISE]
    column = [quantities[i] for i in rows] + [q for q in beside if q.known]
    if not column:
        return found
    places = {seed: at for at, seed in enumerate(sorted({s for q in column for s in q.seeds}))}
    values = np.full((len(column), len(places)), np.nan)
    for row, q in zip(values, column, strict=True):
        row[[places[s] for s in q.seeds]] = q.values
    noise = np.array([q.noise for q in column])
    extra = np.array([np.add.reduce(q.extra) / len(q.seeds) for q in column])
    learnt = spread(values, noise)
    variance = learnt.variance + _clumped(learnt.variance, noise, extra)
    several = any(len(q.seeds) > 1 for q in column)
    kept = slice(len(rows))
    freedom = np.minimum(learnt.freedom[kept], MOST)
    count = np.array([len(quantities[i].seeds) for i in rows])
    error = np.sqrt(variance[kept] / count)
    point = np.array([quantities[i].point for i in rows])
    half = error * stdtrit(freedom, (1 + LEVEL) / 2)
    bounded = np.array([quantities[i].bounded for i in rows])
    low, high = np.where(bounded, _share_limits(point, half, extra[kept], count), (point - half, point + half))
    printed = zip(point.tolist(), low.tolist(), high.tolist(), error.tolist(), freedom.tolist(), strict=True)
    for i, (value, lower, upper, off, degrees) in zip(rows, printed, strict=True):
        q = quantities[i]
        if not several and off == 0:
            found[i] = Estimate(value, reason=q.reason, seeds=len(q.seeds), mark=q.mark)
            continue
        known = degrees if several else None
        found[i] = Estimate(value, lower, upper, q.reason, off, known, len(q.seeds), q.mark, q.bounded)
    return found


def share_interval(quantity: Quantity, half: float) -> tuple[float, float]:
    """All shares x that ``half``, at the point p, does not rule out: (x - p)² ≤ half²·x(1 - x) / (p(1 - p) + 2/N).

    Wilson's score interval (1927) with the error at hand in the place of the binomial one, and with as many pseudo answers
    among all N as `PSEUDO` gave that error.

    Args:
        quantity: of a share; without items p(1 - p) may be 0, and the interval is then p ± half within [0, 1].
        half: t·error.
    """
    extra, count = quantity.extra.mean(), len(quantity.seeds)
    low, high = _share_limits(*(np.atleast_1d(x) for x in (quantity.point, half, extra, count)))
    return float(low[0]), float(high[0])


def _share_limits(p: Array, half: Array, extra: Array, count: NDArray[np.int64]) -> Array:
    """(2, C) limits of `share_interval` of C shares; where p is none, they mean nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        steep = p * (1 - p) + np.sqrt(PSEUDO * extra / count)
        a = half**2 / steep
        away = np.sqrt(a * p * (1 - p) + a**2 / 4)
        low, high = (p + a / 2 - away) / (1 + a), (p + a / 2 + away) / (1 + a)
    flat = ~(steep > 0)
    low = np.where(flat, p - half, np.minimum(low, p))
    high = np.where(flat, p + half, np.maximum(high, p))
    return np.array([np.maximum(low, 0.0), np.minimum(high, 1.0)])


def _clumped(variance: Array, noise: Array, extra: Array) -> Array:
    """What the pseudo answers in ``extra`` add where seeds move a cell: answers then come in clumps, n of them tell
    as much as n·noise/variance independent ones, and near 0 and 1 a few right seeds look as certain as a few right
    answers."""
    clump = np.clip(variance / np.where(noise > 0, noise, np.inf), 1.0, CLUMP)
    return np.asarray(extra * (clump**2 - clump), np.float64)


def in_noise_over(quantities: Sequence[Quantity]) -> set[int]:
    """Places of the quantities one of whose denominators is `in_noise`."""
    noisy: set[int] = set()
    for depth in range(max((len(q.over) for q in quantities), default=0)):
        places = [i for i, q in enumerate(quantities) if len(q.over) > depth]
        below = estimates([quantities[i].over[depth] for i in places])
        noisy.update(i for i, estimate in zip(places, below, strict=True) if in_noise(estimate))
    return noisy


def in_noise(estimate: Estimate) -> bool:
    """Whether a denominator cannot carry a ratio: its interval includes 0, or it is below `STEADY` standard errors."""
    if estimate.value is None or estimate.value == 0:
        return True
    if estimate.error is None:
        return False
    return abs(estimate.value) <= estimate.error * max(critical(estimate.freedom), STEADY)
