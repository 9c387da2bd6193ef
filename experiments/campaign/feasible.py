"""Whether an operation can make the exchanges it wants within the limits of the provider it goes to first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from attacks.accounts.operation import Operation
from configs.errors import ConfigError
from defenses.admission.query_quota import QueryQuota
from defenses.admission.token_bucket import Limits, TokenBucket
from experiments.campaign import making
from experiments.campaign.campaign import Campaign


class Bound(NamedTuple):
    """Something that bounds what one account can send.

    Args:
        requests: most in the whole operation.
        name: what it is, as the user writes it.
    """

    requests: float
    name: str


def check_feasible(campaign: Campaign) -> None:
    """Refuse operations that no account could carry out, whatever the detectors do.

    Raises:
        ConfigError: naming what binds, and how many exchanges it allows.
    """
    first = next(iter(campaign.market.values()))
    for name, operation in campaign.operations.items():
        if operation.mimic:
            continue
        bounds = [Bound(operation.most_pace * operation.days, f"operations.{name}.pace")]
        if first.guarded:
            bounds += _limits(campaign, operation)
        least = min(bounds)
        pool = operation.most_accounts or operation.accounts + operation.standby
        most = least.requests * pool * operation.share
        if operation.exchanges > most:
            raise ConfigError(
                f"campaign.operations.{name}.exchanges",
                operation.exchanges,
                f"cannot be had: {pool:,} accounts, {operation.share:g} of whose requests are for distillation, may make "
                f"{most:,.0f} exchanges in {operation.days:g} days; {least.name} binds at {least.requests:,.0f} requests an "
                "account (lower exchanges, or raise accounts, days or share)",
            )


def _limits(campaign: Campaign, operation: Operation) -> Iterator[Bound]:
    """What admission lets one account send; of tiers the best that it can be in by its age, from the first day on."""
    price = making.mean_dollars(making.asked(next(iter(operation.mix()))), campaign.prices)
    for name, defense in campaign.policy.admission.items():
        where = f"policy.admission.{name}"
        if isinstance(defense, QueryQuota):
            windows = math.ceil(operation.days * 24 / defense.window_hours)
            yield Bound(float(defense.queries * windows), f"{where}.queries")
        if isinstance(defense, TokenBucket):
            yield _of_bucket(defense, operation, price, where)


def _of_bucket(bucket: TokenBucket, operation: Operation, price: float, where: str) -> Bound:
    tiers: tuple[Limits, ...] = (bucket, *bucket.tiers)
    ages = [0.0, *(tier.entry_age_days for tier in bucket.tiers)]

    def tier_on(day: float) -> Limits:
        return tiers[max(i for i, age in enumerate(ages) if age <= day + operation.lead_days)]

    days = np.arange(0.0, operation.days)
    requests = sum(1440.0 * tier_on(day).requests_per_minute for day in days)
    by_day = sum(tier_on(day).dollars_per_day for day in days)
    months = np.arange(0.0, operation.days, 30.0)
    by_month = sum(tier_on(min(month + 30.0, operation.days)).dollars_per_month for month in months)
    dollars, cap = min((by_day, "dollars_per_day"), (by_month, "dollars_per_month"))
    by_money = Bound(dollars / price if price else math.inf, f"{where}.{cap}")
    return min(Bound(requests, f"{where}.requests_per_minute"), by_money)
