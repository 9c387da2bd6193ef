"""What a detector would trade at other thresholds: attackers found and harvest left, against honest accounts alarmed.

Read off the highest score that each account has in the tables. The campaign went on as it did: that attackers who are banned
sooner would harvest less, and send others, is not in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from experiments.campaign.campaign_result import HONEST, CampaignResult
from experiments.campaign.measure.detection import ANY, detectors
from experiments.campaign.measure.key import Key
from experiments.campaign.measure.proportion import ratio, wilson
from experiments.campaign.measure.roc import RATES
from experiments.measure.estimate import Estimate

LADDER = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5)
"""Shares of honest accounts alarmed at which a curve is told."""
NOBODY = "no attackers or no honest accounts"
NOTHING = "nothing usable was harvested"


class ThresholdSweep(NamedTuple):
    """All thresholds of one detector in one campaign, from the strictest on; an account with this score or more is over it.

    Args:
        threshold: (K + 1,) distinct scores, falling; the first is infinite. Accounts that were never judged are over none.
        honest, hard, attack: (K + 1,) how many honest accounts, hard negatives and attackers' accounts are over it.
        usable: (K + 1,) usable exchanges of the attackers' accounts over it.
        honest_all, hard_all, attack_all, usable_all: of how many, judged or not.
    """

    threshold: NDArray[np.float64]
    honest: NDArray[np.int64]
    hard: NDArray[np.int64]
    attack: NDArray[np.int64]
    usable: NDArray[np.int64]
    honest_all: int
    hard_all: int
    attack_all: int
    usable_all: int

    def place(self, rate: float) -> int:
        """The loosest threshold that at most this share of the honest accounts is over; a share that equals it but for
        rounding counts."""
        return int(np.searchsorted(self.honest, rate * self.honest_all * (1 + 1e-12), side="right")) - 1


class ThresholdPoint(NamedTuple):
    """What one threshold would do.

    Args:
        threshold: the score; blank where it is infinite.
        false_alarms: share of the honest accounts over it.
        hard: share of the hard negatives.
        caught: share of the attackers' accounts.
        passing: share of the usable exchanges whose accounts are not over it.
    """

    threshold: Estimate
    false_alarms: Estimate
    hard: Estimate
    caught: Estimate
    passing: Estimate


def sweep(result: CampaignResult, detector: str) -> ThresholdSweep | None:
    """The thresholds of a detector over all accounts of all providers; None where there are no attackers or no honest
    accounts."""
    accounts = result.accounts
    score = accounts[f"score_{detector}"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    attack = (accounts["operation"] != HONEST).to_numpy()
    hard = accounts["hard_negative"].fill_null(False).to_numpy() & ~attack
    if not attack.any() or attack.all():
        return None
    usable = np.where(attack, accounts["distil_usable"].to_numpy(), 0)
    judged = np.flatnonzero(~np.isnan(score))
    order = judged[np.argsort(-score[judged], kind="stable")]
    ranked = score[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.zeros(0, np.int64)

    def over(values: NDArray[np.generic]) -> NDArray[np.int64]:
        return np.append(0, np.cumsum(values[order].astype(np.int64))[last])

    sides = (~attack, hard, attack, usable)
    honest_over, hard_over, attack_over, usable_over = (over(values) for values in sides)
    totals = (int(values.sum()) for values in sides)
    return ThresholdSweep(np.append(np.inf, ranked[last]), honest_over, hard_over, attack_over, usable_over, *totals)


def at_rate(swept: ThresholdSweep | None, rate: float) -> ThresholdPoint:
    """The loosest threshold with at most this share of false alarms; blank where the rate allows less than one of them."""
    if swept is None:
        return ThresholdPoint(*[Estimate(None, reason=NOBODY)] * 5)
    if swept.honest_all * rate < 1 - 1e-9:
        reason = f"{swept.honest_all:,} honest accounts allow less than one false alarm at {rate:g}"
        return ThresholdPoint(*[Estimate(None, reason=reason)] * 5)
    i = swept.place(rate)
    score = float(swept.threshold[i])
    return ThresholdPoint(
        Estimate(score) if np.isfinite(score) else Estimate(None, reason="every score is of more honest accounts"),
        wilson(int(swept.honest[i]), swept.honest_all),
        wilson(int(swept.hard[i]), swept.hard_all),
        wilson(int(swept.attack[i]), swept.attack_all),
        ratio(float(swept.usable_all - swept.usable[i]), swept.usable_all, NOTHING),
    )


def thresholds(result: CampaignResult) -> dict[Key, Estimate]:
    """Per detector and each of `RATES` ``false_alarms_RATE``, ``hard_RATE`` and ``passing_RATE``, beside the ``tpr_RATE`` of
    `detection`; and at the thresholds in force, for `ANY` too, ``passing``: the share of usable exchanges of accounts
    without an alarm."""
    found: dict[Key, Estimate] = {}
    attack = result.accounts.filter(pl.col("operation") != HONEST)
    total = float(attack["distil_usable"].sum())
    names = detectors(result)
    for name in names:
        swept = sweep(result, name)
        for rate in RATES:
            point = at_rate(swept, rate)
            found[Key(f"false_alarms_{rate:.0e}", "detector", name)] = point.false_alarms
            found[Key(f"hard_{rate:.0e}", "detector", name)] = point.hard
            found[Key(f"passing_{rate:.0e}", "detector", name)] = point.passing
        if f"alarm_{name}" in attack.columns:
            quiet = attack.filter(~pl.col(f"alarm_{name}").fill_null(False))
            found[Key("passing", "detector", name)] = ratio(float(quiet["distil_usable"].sum()), total, NOTHING)
    if names:
        quiet = attack.filter(pl.col("first_alarm_day").is_null())
        found[Key("passing", "detector", ANY)] = ratio(float(quiet["distil_usable"].sum()), total, NOTHING)
    return found
