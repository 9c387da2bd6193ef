"""True against false alarms over all thresholds of a score. Knows nothing of campaigns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from experiments.campaign.measure.proportion import weighted_share
from experiments.measure.estimate import Estimate

RATES = (1e-2, 1e-3, 1e-4)
"""False-alarm rates at which detection is reported."""


class Roc(NamedTuple):
    """A curve with K distinct scores, from the strictest threshold on.

    Args:
        threshold: (K + 1,) an account with this score or more is over it; the first is infinite.
        fpr: (K + 1,) share of honest weight over the threshold, from 0 to 1.
        tpr: (K + 1,) share of the attackers' weight over it.
        honest: number of honest accounts.
        score: (n,) of all accounts, never judged ones −∞.
        positive: (n,) whether an account is an attacker's.
        weight: (n,).
    """

    threshold: NDArray[np.float64]
    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]
    honest: int
    score: NDArray[np.float64]
    positive: NDArray[np.bool_]
    weight: NDArray[np.float64]


def roc(
    score: NDArray[np.float64], positive: NDArray[np.bool_], weight: NDArray[np.float64] | None = None
) -> Roc | None:
    """The curve, accounts of equal score together; None where either side weighs nothing.

    Args:
        score: (n,) larger is more suspicious; NaN for an account that was never judged, which ranks below all others.
        positive: (n,) whether it is an attacker's.
        weight: (n,) not negative; None counts accounts.

    Raises:
        ConfigError: a negative weight.
    """
    weight = np.ones(len(score)) if weight is None else weight.astype(np.float64)
    require(not len(weight) or bool(weight.min() >= 0), "roc.weight", weight.min(initial=0), "must not be negative")
    # A threshold above all scores must be left over.
    score = np.minimum(np.where(np.isnan(score), -np.inf, score), np.finfo(np.float64).max)
    attack, honest = np.where(positive, weight, 0.0), np.where(positive, 0.0, weight)
    if attack.sum() == 0 or honest.sum() == 0:
        return None
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    curve = [np.append(0.0, np.cumsum(side[order])[last] / side.sum()) for side in (honest, attack)]
    for side in curve:
        side[-1] = 1.0
    threshold = np.append(np.inf, ranked[last])
    return Roc(threshold, curve[0], curve[1], int((~positive).sum()), score, positive, weight)


def tpr_at(curve: Roc | None, rate: float) -> Estimate:
    """Largest share of attackers over a threshold that at most ``rate`` of the honest are over; no interpolation.

    The interval is that of the share at this threshold; that the threshold itself was found on the same accounts is
    not in it.

    Blank where either side has no account, or so few honest ones that the rate allows less than one false alarm.
    """
    if curve is None:
        return Estimate(None, reason="no attackers or no honest accounts")
    if curve.honest * rate < 1 - 1e-9:
        return Estimate(None, reason=f"{curve.honest:,} honest accounts allow less than one false alarm at {rate:g}")
    threshold = curve.threshold[_place(curve, np.array([rate]))[0]]
    hit = (curve.score >= threshold) & (curve.score > -np.inf)
    return weighted_share(hit[curve.positive], curve.weight[curve.positive])


def on_grid(curve: Roc, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """(R,) `tpr_at` each of the rates, without its interval and its rule on few accounts, for a picture."""
    return curve.tpr[_place(curve, rates)]


def area(curve: Roc | None) -> Estimate:
    """Area under the curve: the chance that an attacker's account scores above an honest one, ties counting half."""
    if curve is None:
        return Estimate(None, reason="no attackers or no honest accounts")
    return Estimate(float(np.trapezoid(curve.tpr, curve.fpr)))


def _place(curve: Roc, rates: NDArray[np.float64]) -> NDArray[np.int64]:
    """(R,) the loosest threshold with at most that share of false alarms; a share that equals the rate but for
    rounding counts."""
    return np.searchsorted(curve.fpr, rates * (1 + 1e-12), side="right") - 1
