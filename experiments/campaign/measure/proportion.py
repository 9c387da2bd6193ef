"""Shares of accounts with their intervals. Knows nothing of campaigns.

The intervals take accounts as independent. Accounts of one operation are found together, so what holds for them varies
from campaign to campaign by more than an interval says: only further seeds show that.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from experiments.measure.estimate import Estimate

Z = 1.959963984540054
"""97.5 % quantile of the normal distribution."""


def wilson(count: float, total: float, nothing: str = "no such account") -> Estimate:
    """``count``/``total`` with the 95 % score interval (Wilson 1927, JASA 22:209), which holds near 0 and 1 too.

    Args:
        count: how many; between 0 and ``total``. Need not be whole: `weighted_share` gives effective numbers.
        total: of how many.
        nothing: the reason for a blank where ``total`` is 0.
    """
    require(0 <= count <= total or total == 0, "proportion.count", count, f"must lie between 0 and {total}")
    if total == 0:
        return Estimate(None, reason=nothing)
    share, spread = count / total, Z * Z / total
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    # At the ends the exact limit is the end itself; rounding would leave it 1e-17 beside.
    low = 0.0 if count == 0 else max(0.0, centre - half)
    high = 1.0 if count == total else min(1.0, centre + half)
    return Estimate(share, low, high)


def weighted_share(hit: NDArray[np.bool_], weight: NDArray[np.float64], nothing: str = "no request") -> Estimate:
    """Share of the weight that is hit, its interval `wilson` with the effective number (Σw)²/Σw² (Kish 1965, ch. 11).

    Args:
        hit: (n,).
        weight: (n,) not negative.
        nothing: the reason for a blank where all weights are 0.
    """
    total = float(weight.sum())
    if total == 0:
        return Estimate(None, reason=nothing)
    share = min(1.0, float(weight[hit].sum()) / total)
    effective = total**2 / float((weight**2).sum())
    return wilson(share * effective, effective)._replace(value=share)


def ratio(numerator: float, denominator: float, nothing: str) -> Estimate:
    """A quotient of totals that are no counts of accounts: without an interval, blank where there is nothing to divide
    by."""
    return Estimate(numerator / denominator) if denominator else Estimate(None, reason=nothing)
