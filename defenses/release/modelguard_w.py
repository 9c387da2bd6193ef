"""Sell the distribution that is least likely under the truth, within an L1 budget and with the same first token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.ranges import between
from defenses.base import Defense, ReleaseContext
from defenses.release.told import Rows, told_of, with_told
from defenses.strength import Strength
from lm.compiled import compiled
from teacher.api.schema import Responses

MOST = 200
"""Places t tried for one row; about 5 are needed."""

TINY = 1e-15
"""Mass that counts as none."""

LEAST = 1e-6
"""Added to y before its logarithm, as in the authors' code: a probability of 0 would outweigh everything."""


@dataclass(frozen=True)
class ModelGuardW(Defense):
    """Sells the y' with the smallest Σ y'_i log y_i within an L1 distance of ε, with the same most probable token.

    That is on the simplex, with ‖y' − y‖₁ ≤ ε and y'_1 ≥ y'_i, 1 being the most probable token.

    The linear programme is solved exactly, row by row, without a solver. With t = y'_1 given, all others have to stay within
    [0, t]; what is above t is taken first, then what the budget leaves is taken from the most probable of the others and
    given to the least probable ones, each filled up to t. The optimum is convex and piecewise linear in t, so it lies where
    recipients or donors just fill or empty, and a binary search over these places finds it.

    The authors ask for y'_1 ≥ y'_i + 10⁻⁴ where this asks for y'_1 ≥ y'_i: ties are possible, and lists still begin with the
    true first token. Coefficients are log(y + 10⁻⁶), as theirs.

    Args:
        epsilon: ε, the L1 distance from the truth, in [0, 2]; 0 changes nothing.
    """

    name: ClassVar[str] = "modelguard_w"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Tang et al., ModelGuard, USENIX Security 2024, ModelGuard-W"
    checked: ClassVar[str] = "scipy's linprog; the L1 budget met, argmax kept"
    needs: ClassVar[tuple[str, ...]] = ("top_logprobs",)
    uses: ClassVar[tuple[str, ...]] = ()
    reads_logprobs: ClassVar[int] = -1
    strength: ClassVar[Strength | None] = Strength("epsilon", 0, 2)

    epsilon: float

    def __post_init__(self) -> None:
        between(self, 0, 2, "epsilon")

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Change what is told of each token."""
        if self.epsilon == 0:
            return responses
        told = told_of(responses)
        return with_told(responses, told, least_likely(told.probs, told.listed, self.epsilon))


def least_likely(probs: Rows, listed: NDArray[np.bool_], epsilon: float) -> Rows:
    """(M, C) y' with the smallest Σ y'_i log y_i among rows with the sums of y, ‖y' − y‖₁ ≤ ε and the same argmax.

    Args:
        probs: (M, C) y.
        listed: (M, C) which columns there are.
        epsilon: ε.
    """
    order = np.argsort(np.where(listed, -probs, 1.0), axis=1, kind="stable")
    falling = np.take_along_axis(probs, order, 1)
    _solve(falling, listed.sum(1), np.log(falling + LEAST), epsilon / 2)
    new = np.empty_like(falling)
    np.put_along_axis(new, order, falling, 1)
    return new


@compiled
def _solve(y_MC: Rows, listed: NDArray[np.int64], cost_MC: Rows, budget: float) -> None:
    """Put y' in the place of y, rows falling, of which the first ``listed`` entries count."""
    out = np.empty(y_MC.shape[1])
    for row in range(len(y_MC)):
        n, y, cost = listed[row], y_MC[row], cost_MC[row]
        total, inside = 0.0, 0.0
        for j in range(n):
            total += y[j]
        low = total / n  # below, either the others cannot hold all mass, or more than the budget is above t
        for j in range(n):
            inside += y[j]
            if (inside - budget) / (j + 1) > low:
                low = (inside - budget) / (j + 1)
        low, high = min(low, y[0]), min(y[0] + budget, total)
        low_value, low_slope = _at(y, n, cost, low, budget, out)
        high_value, high_slope = _at(y, n, cost, high, budget, out)
        t, before = low if low_value <= high_value else high, -1.0
        for _ in range(MOST):
            if low_slope >= 0.0:
                t = low
                break
            if high_slope <= 0.0:
                t = high
                break
            t = (high_value - low_value + low_slope * low - high_slope * high) / (low_slope - high_slope)
            t = min(max(t, low), high)
            if t in (before, low, high):
                break
            before = t
            value, slope = _at(y, n, cost, t, budget, out)
            if slope < 0.0:
                low, low_value, low_slope = t, value, slope
            elif slope > 0.0:
                high, high_value, high_slope = t, value, slope
            else:
                break
        _at(y, n, cost, t, budget, out)
        y[:n] = out[:n]


@compiled
def _at(y: Rows, n: int, cost: Rows, t: float, budget: float, out: Rows) -> tuple[float, float]:
    """The cheapest y' with y'_0 = t into ``out``, its cost, and a slope of the cost there by t."""
    out[0] = t
    taken = max(y[0] - t, 0.0)
    given = max(t - y[0], 0.0)
    for j in range(1, n):
        out[j] = min(y[j], t)
        taken += y[j] - out[j]
    left = budget - max(taken, given)
    donor, recipient = 1, n - 1
    owed = given - taken
    while owed > TINY and donor < n:  # the first is raised: the others give
        part = min(out[donor], owed)
        out[donor] -= part
        owed -= part
        if out[donor] <= TINY:
            donor += 1
    hand = taken - given
    while hand > TINY and recipient > 0:  # what is above t goes to the least probable
        part = min(t - out[recipient], hand)
        out[recipient] += part
        hand -= part
        if t - out[recipient] <= TINY:
            recipient -= 1
    while left > TINY and donor < recipient:
        part = min(out[donor], t - out[recipient], left)
        out[donor] -= part
        out[recipient] += part
        left -= part
        if t - out[recipient] <= TINY:
            recipient -= 1
        elif out[donor] <= TINY:
            donor += 1
    value, follow, sum_follow = 0.0, 0, 0.0
    for j in range(n):
        value += cost[j] * out[j]
    full, sum_full = 0, 0.0
    for j in range(1, n):
        if j > recipient:
            full += 1
            sum_full += cost[j]
        elif j > donor and j < recipient and y[j] >= t:
            follow += 1
            sum_follow += cost[j]
    slope = cost[0] + sum_full + sum_follow
    if left > TINY or donor >= recipient:  # one entry balances all
        slope -= (1 + full + follow) * cost[min(max(recipient, 0), n - 1)]
    elif t < y[0]:
        slope -= full * cost[recipient] + (1 + follow) * cost[donor]
    else:
        slope -= (1 + full) * cost[recipient] + follow * cost[donor]
    return value, slope
