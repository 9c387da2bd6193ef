"""What the campaign brought in and what it cost: in all, by operation, by capability, over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from experiments.campaign.campaign_result import HONEST, CampaignResult
from experiments.campaign.measure.key import Key
from experiments.campaign.measure.proportion import ratio, wilson
from experiments.measure.estimate import Estimate

FLOWS = ("sent", "refused", "usable", "hidden", "altered", "contaminated")


def harvest(result: CampaignResult) -> dict[Key, Estimate]:
    """Exchanges, dollars and accounts of the attack, for the campaign, each operation and each capability.

    ``planned`` and the numbers `FLOWS`; ``usable_share`` of the plan; ``last_day`` with a usable exchange; ``dollars``
    and ``dollars_per_usable``; ``attack_accounts`` ever opened, ``burnt`` (banned or lost) and ``burnt_share``; of the
    banned ones ``banned_harvest`` (mean of usable exchanges before the ban), ``banned_harvest_median`` and
    ``banned_harvest_total``; ``untouched_harvest_total`` of accounts that nothing above ``log`` was ever done to.
    """
    found = _of(result, "", "", result.harvest, _attack(result), _dollars(result.facts))
    operations = set(result.harvest["operation"].to_list()) | set(_attack(result)["operation"].to_list())
    for name in sorted(str(o) for o in operations if o):
        own = result.harvest.filter(pl.col("operation") == name)
        accounts = _attack(result).filter(pl.col("operation") == name)
        found |= _of(result, "operation", name, own, accounts, _dollars(result.facts, name))
    for name in sorted(str(c) for c in result.harvest["capability"].unique().to_list()):
        own = result.harvest.filter(pl.col("capability") == name)
        found |= _flows(own, "capability", name)
    return found


def series(result: CampaignResult) -> pl.DataFrame:
    """A row for each epoch, providers added up: ``day`` (its end), ``usable`` and ``dollars`` since the start,
    ``active`` attack accounts, ``banned`` attack accounts in it."""
    return (
        result.epochs.group_by("epoch")
        .agg(
            pl.col("day").max(),
            pl.col("distil_usable").sum().alias("usable"),
            pl.col("attack_dollars").sum().alias("dollars"),
            pl.col("attack_active").sum().alias("active"),
            pl.col("attack_banned").sum().alias("banned"),
        )
        .sort("epoch")
        .with_columns(pl.col("usable").cum_sum(), pl.col("dollars").cum_sum())
    )


def banned_by_day(result: CampaignResult) -> pl.DataFrame:
    """``day`` (its end, whole) and ``banned`` attack accounts in it, days without a ban included."""
    return (
        result.epochs.group_by((pl.col("day") - 1e-9).ceil().alias("day"))
        .agg(pl.col("attack_banned").sum().alias("banned"))
        .sort("day")
    )


def _of(
    result: CampaignResult, part: str, of: str, own: pl.DataFrame, accounts: pl.DataFrame, dollars: float
) -> dict[Key, Estimate]:
    found = _flows(own, part, of)
    usable = found[Key("usable", part, of)].value or 0.0
    days = result.epochs.group_by("epoch").agg(pl.col("day").max())
    last = own.filter(pl.col("usable") > 0).join(days, on="epoch", how="inner")["day"].max()
    banned = accounts.filter(pl.col("banned_day").is_not_null())["distil_usable"]
    burnt = accounts.filter(pl.col("banned_day").is_not_null() | pl.col("lost_day").is_not_null()).height
    untouched = accounts.filter(
        pl.col("acted_day").is_null() & pl.col("banned_day").is_null() & pl.col("lost_day").is_null()
    )
    found |= {
        Key("last_day", part, of): (
            Estimate(float(last)) if isinstance(last, float) else Estimate(None, reason="nothing usable was harvested")
        ),
        Key("dollars", part, of): Estimate(dollars),
        Key("dollars_per_usable", part, of): ratio(dollars, usable, "nothing usable was harvested"),
        Key("attack_accounts", part, of): Estimate(float(accounts.height)),
        Key("burnt", part, of): Estimate(float(burnt)),
        Key("burnt_share", part, of): wilson(burnt, accounts.height),
        Key("banned_harvest", part, of): ratio(float(banned.sum()), banned.len(), "no attack account was banned"),
        Key("banned_harvest_median", part, of): _median(banned),
        Key("banned_harvest_total", part, of): Estimate(float(banned.sum())),
        Key("untouched_harvest_total", part, of): Estimate(float(untouched["distil_usable"].sum())),
    }
    return found


def _flows(own: pl.DataFrame, part: str, of: str) -> dict[Key, Estimate]:
    # The plan is repeated in every epoch and provider.
    planned = float(own.group_by("operation", "capability").agg(pl.col("planned").max())["planned"].sum())
    sums = {name: float(own[name].sum()) for name in FLOWS}
    return {
        Key("planned", part, of): Estimate(planned),
        **{Key(name, part, of): Estimate(value) for name, value in sums.items()},
        Key("usable_share", part, of): ratio(sums["usable"], planned, "nothing was planned"),
    }


def _median(values: pl.Series) -> Estimate:
    if not values.len():
        return Estimate(None, reason="no attack account was banned")
    return Estimate(float(values.sort().cast(pl.Float64).quantile(0.5, "linear") or 0.0))


def _attack(result: CampaignResult) -> pl.DataFrame:
    return result.accounts.filter(pl.col("operation") != HONEST)


def _dollars(facts: Mapping[str, Any], operation: str | None = None) -> float:
    """US dollars spent by one operation, or by all."""
    spent = facts.get("dollars", {})
    names = list(spent) if operation is None else [operation]
    return float(sum(sum(spent.get(name, {}).values()) for name in names))
