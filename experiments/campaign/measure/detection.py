"""How well the detectors told attackers from honest accounts, and how soon. Knows nothing of what followed from it."""

from __future__ import annotations

import numpy as np
import polars as pl

from experiments.campaign.campaign_result import HONEST, CampaignResult
from experiments.campaign.measure.key import Key
from experiments.campaign.measure.proportion import wilson
from experiments.campaign.measure.roc import RATES, Roc, area, roc, tpr_at
from experiments.measure.estimate import Estimate

ANY = "any"
"""All detectors together: an account was alarmed on by at least one."""


def detectors(result: CampaignResult) -> list[str]:
    """Names of the detectors that watched, sorted."""
    return sorted(c.removeprefix("score_") for c in result.accounts.columns if c.startswith("score_"))


def curve(result: CampaignResult, detector: str, by_requests: bool = False) -> Roc | None:
    """ROC of a detector over all accounts of all providers, each with its highest score."""
    accounts = result.accounts
    score = accounts[f"score_{detector}"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    weight = accounts["requests"].cast(pl.Float64).to_numpy() if by_requests else None
    return roc(score, (accounts["operation"] != HONEST).to_numpy(), weight)


def detection(result: CampaignResult) -> dict[Key, Estimate]:
    """Per detector the share of attackers caught at low false-alarm rates, and what it alarmed on at its own threshold.

    ``tpr_RATE`` counts accounts, ``tpr_RATE_requests`` the requests behind them on both sides; ``caught``,
    ``false_alarms``, ``false_alarms_hard`` (honest accounts whose use looks like an attacker's) and ``false_alarms_other``
    (all other honest ones) are shares at the detector's own threshold. For `ANY`, and for the detector if there is one only:
    ``days_to_alarm``, because an account's first alarm is not kept apart by detector.
    """
    found: dict[Key, Estimate] = {}
    names = detectors(result)
    for name in names:
        for suffix, weighted in (("", False), ("_requests", True)):
            line = curve(result, name, weighted)
            found |= {Key(f"tpr_{rate:.0e}{suffix}", "detector", name): tpr_at(line, rate) for rate in RATES}
            found[Key(f"auc{suffix}", "detector", name)] = area(line)
        alarm = pl.col(f"alarm_{name}").fill_null(False)
        if f"alarm_{name}" in result.accounts.columns:
            found |= _alarms(result.accounts, name, alarm)
        found[Key("judged", "detector", name)] = wilson(
            result.accounts[f"score_{name}"].drop_nulls().len(), result.accounts.height
        )
    if names:
        found |= _alarms(result.accounts, ANY, pl.col("first_alarm_day").is_not_null())
        for name in (ANY, *names) if len(names) == 1 else (ANY,):
            found[Key("days_to_alarm", "detector", name)] = days_to_alarm(result.accounts)
    return found


def days_to_alarm(accounts: pl.DataFrame) -> Estimate:
    """Median days from an attack account's opening to its first alarm, one that never came counting as later than any.

    Blank where half of the accounts or more never had one. Accounts opened late had less time to be found, so this is
    no less than the median would be with longer watching. Time before the campaign's start does not count.
    """
    attack = accounts.filter(pl.col("operation") != HONEST)
    if attack.height == 0:
        return Estimate(None, reason="no attack accounts")
    opened = np.maximum(attack["opened_day"].fill_null(0.0).to_numpy(), 0.0)
    waited = np.sort(attack["first_alarm_day"].fill_null(float("inf")).to_numpy() - opened)
    middle = waited[[(len(waited) - 1) // 2, len(waited) // 2]]
    if not np.isfinite(middle[1]):
        return Estimate(None, reason="half of the attack accounts or more never had an alarm")
    return Estimate(max(0.0, float(middle.mean())))


def by_kind(result: CampaignResult) -> dict[Key, Estimate]:
    """Per kind of honest account: ``accounts``, ``hard`` (1 where it is a hard negative), and the shares ``alarmed``,
    ``acted``, ``banned``, ``lost``."""
    honest = result.accounts.filter(pl.col("operation") == HONEST)
    marks = {"alarmed": "first_alarm_day", "acted": "acted_day", "banned": "banned_day", "lost": "lost_day"}
    rows = honest.group_by("kind").agg(
        pl.len().alias("accounts"),
        pl.col("hard_negative").any().alias("hard"),
        *(pl.col(column).is_not_null().sum().alias(name) for name, column in marks.items()),
    )
    found: dict[Key, Estimate] = {}
    for row in rows.sort("kind").iter_rows(named=True):
        kind = str(row["kind"])
        found[Key("accounts", "kind", kind)] = Estimate(float(row["accounts"]))
        found[Key("hard", "kind", kind)] = Estimate(float(row["hard"]))
        found |= {Key(name, "kind", kind): wilson(row[name], row["accounts"]) for name in marks}
    return found


def _alarms(accounts: pl.DataFrame, name: str, alarm: pl.Expr) -> dict[Key, Estimate]:
    sides = {
        "caught": pl.col("operation") != HONEST,
        "false_alarms": pl.col("operation") == HONEST,
        "false_alarms_hard": (pl.col("operation") == HONEST) & pl.col("hard_negative"),
        "false_alarms_other": (pl.col("operation") == HONEST) & ~pl.col("hard_negative"),
    }
    counts = accounts.select(
        *((side & alarm).sum().alias(f"{what}_hit") for what, side in sides.items()),
        *(side.sum().alias(what) for what, side in sides.items()),
    ).row(0, named=True)
    return {Key(what, "detector", name): wilson(counts[f"{what}_hit"], counts[what]) for what in sides}
