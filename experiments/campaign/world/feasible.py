"""Whether an operation can make the exchanges it wants within the limits of the provider it goes to first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from attacks.accounts.operation import Operation
from configs.errors import ConfigError
from defenses.admission.limits.query_quota import QueryQuota
from defenses.admission.limits.token_bucket import Limits, TokenBucket
from experiments.campaign.config.campaign import Campaign
from experiments.campaign.world import making
from teacher.api.clock import DAY, MONTH


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
    """What admission lets one account send at most; of tiers the best that it can be in by its age."""
    prices = {c: making.mean_dollars(making.asked(c), campaign.prices) for c in operation.mix()}
    price = sum(share * prices[capability] for capability, share in operation.mix().items())
    for name, defense in campaign.policy.admission.items():
        where = f"policy.admission.{name}"
        if isinstance(defense, QueryQuota):
            windows = len(_windows(operation, defense.window_hours / 24))
            yield Bound(float(defense.queries * windows), f"{where}.queries")
        if isinstance(defense, TokenBucket):
            yield from _of_bucket(defense, operation, price, where)


def _of_bucket(bucket: TokenBucket, operation: Operation, price: float, where: str) -> Iterator[Bound]:
    tiers: tuple[Limits, ...] = (bucket, *bucket.tiers)
    ages = [0.0, *(tier.entry_age_days for tier in bucket.tiers)]

    def tier_by(day: float) -> Limits:
        """The best that can be reached by the end of a window that ends on this day."""
        age = min(day, operation.start_day + operation.days) - operation.start_day + operation.lead_days
        return tiers[max(i for i, least in enumerate(ages) if least <= age)]

    days, months = ([tier_by(day) for day in _windows(operation, length)] for length in (1.0, MONTH / DAY))
    minutes = 1440.0 * operation.days / len(days)
    refilled = sum(minutes * tier.requests_per_minute for tier in days)
    full = max(tier.requests_per_minute * tier.burst_minutes for tier in days)
    yield Bound(refilled + full, f"{where}.requests_per_minute")
    for cap, dollars in (
        ("dollars_per_day", sum(tier.dollars_per_day for tier in days)),
        ("dollars_per_month", sum(tier.dollars_per_month for tier in months)),
    ):
        yield Bound(dollars / price if price else math.inf, f"{where}.{cap}")


def _windows(operation: Operation, days: float) -> list[float]:
    """Ends of the windows of this length, counted from day 0, in which an operation sends."""
    end = operation.start_day + operation.days
    return [(n + 1) * days for n in range(math.floor(operation.start_day / days), math.ceil(end / days))]
