"""One actor's campaign as configuration: how much he wants of what, from how many accounts, how he hides and what he pays.

Figures and their sources: ``experiments/campaign/data/attack_defaults.csv``; fields whose source there is I are proposals,
to be swept. Knows nothing of what providers do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from configs.errors import ConfigError, require
from configs.ranges import at_least

CAPABILITIES = (
    "reasoning",
    "agentic_reasoning",
    "tool_use",
    "coding",
    "agentic_coding",
    "data_analysis",
    "computer_use",
    "rubric_grading",
    "rewriting",
)
MIXED = "mixed"
"""Stands for equal shares of all capabilities."""
PACINGS = ("poisson", "diurnal", "scheduler")


def _check_finite(part: Any, where: str) -> None:
    for f in fields(part):
        value = getattr(part, f.name)
        if isinstance(value, (int, float)):
            require(math.isfinite(value), f"{where}.{f.name}", value, "must be a number")


@dataclass(frozen=True)
class Costs:
    """What an operation pays.

    Args:
        sms: dollars for a telephone number to open an account with.
        card: dollars for a card and a mail address.
        proxy_month: dollars a month for an account's proxy.
        identity: dollars for getting one account past an identity check, paid whether it works or not.
        token_factor: price paid for tokens as a share of the list price.
    """

    sms: float = 0.26
    card: float = 1.0
    proxy_month: float = 1.0
    identity: float = 15.0
    token_factor: float = 0.15

    def __post_init__(self) -> None:
        _check_finite(self, "costs")
        for name in ("sms", "card", "proxy_month", "identity", "token_factor"):
            require(getattr(self, name) >= 0, f"costs.{name}", getattr(self, name), "must be at least 0")


@dataclass(frozen=True)
class Operation:
    """An operation.

    Args:
        exchanges: with distillation in mind, that it wants.
        days: in which it wants them.
        accounts: that send at a time.
        capabilities: relative share of the exchanges by capability; empty, or ``mixed``, for all alike.
        start_day: on which it begins.
        share: of an account's requests that are for distillation; the others are those of unrelated customers.
        pacing: ``poisson`` round the clock, ``diurnal`` as people, or ``scheduler``: all accounts at the same minutes.
        period_hours: of the shared scheduler.
        jitter: seconds by which accounts of the shared scheduler are apart.
        templates: wordings per capability.
        pivot: share of its demand, from 0 to 1, that moves to a new model: in the 24 hours after a release demand is
            1 + pivot times as high.
        standby: accounts opened at the start that only begin when ``standby_after`` of the first pool is gone; they share
            no card, network or wording with it, so each pool has half of the networks and at most half of the wordings.
        standby_after: share of the first pool.
        lead_days: accounts are opened evenly over so many days before they begin.
        replacement_hours: median time until a banned account is replaced, in its own pool (lognormal, σ 1); null: never.
        most_accounts: accounts it will open in all; 0: as many as it takes.
        pace: most requests a day it asks of one account; 0: four times what the plan needs.
        networks: proxy networks (/24) it sends from.
        batch: accounts that are set up together, on the same few proxies.
        networks_per_batch: proxy networks of a batch.
        networks_per_account: of these that one account uses, another for each request.
        shared_proxies: share of its accounts that use networks which other operations use too.
        accounts_per_card: accounts that share a means of payment.
        clients: kinds of client software it shows.
        contamination: share of answers that somebody on the way takes from another model.
        evasion: look for wordings, pacing and blending that live longer (`attacks.accounts.evasion`).
        probe_budget: requests spent on looking evenly before it follows what it has learnt.
        displacement: probability that a lost account is replaced at the provider where accounts have lived longest.
        mimic: its accounts do exactly what honest ones do and harvest nothing: the null for detectors.
        costs: what it pays.
        reported: row of ``campaigns.csv`` that it stands for, "" for none.
    """

    exchanges: int = 16_000_000
    days: float = 30.0
    accounts: int = 24_000
    capabilities: Mapping[str, float] = field(default_factory=dict)
    start_day: float = 0.0
    share: float = 0.25
    pacing: str = "poisson"
    period_hours: float = 1.0
    jitter: float = 600.0
    templates: int = 100
    pivot: float = 0.5
    standby: int = 0
    standby_after: float = 0.5
    lead_days: float = 7.0
    replacement_hours: float | None = 6.0
    most_accounts: int = 0
    pace: float = 0.0
    networks: int = 2_000
    batch: int = 50
    networks_per_batch: int = 8
    networks_per_account: int = 3
    shared_proxies: float = 0.1
    accounts_per_card: int = 5
    clients: int = 4
    contamination: float = 0.0
    evasion: bool = False
    probe_budget: int = 12_000
    displacement: float = 0.0
    mimic: bool = False
    costs: Costs = field(default_factory=Costs)
    reported: str = ""

    def __post_init__(self) -> None:
        _check_finite(self, "operation")
        lowest = {
            "exchanges": 1, "accounts": 1, "templates": 1, "networks": 1, "networks_per_account": 1, "accounts_per_card": 1,
            "clients": 1, "batch": 1, "networks_per_batch": 1, "standby": 0, "most_accounts": 0, "probe_budget": 0,
            "start_day": 0, "jitter": 0, "lead_days": 0, "pace": 0,
        }  # fmt: skip
        for name, least in lowest.items():
            require(getattr(self, name) >= least, f"operation.{name}", getattr(self, name), f"must be at least {least}")
        for name in ("days", "period_hours"):
            require(getattr(self, name) > 0, f"operation.{name}", getattr(self, name), "must be more than 0")
        for name in ("shared_proxies", "contamination", "displacement", "standby_after", "pivot"):
            require(0 <= getattr(self, name) <= 1, f"operation.{name}", getattr(self, name), "must be between 0 and 1")
        at_least(self, 0, "replacement_hours")
        require(self.clients <= 1_000_000, "operation.clients", self.clients, "must be at most 1,000,000")
        require(0 < self.share <= 1, "operation.share", self.share, "must be more than 0 and at most 1")
        if self.pacing not in PACINGS:
            raise ConfigError("operation.pacing", self.pacing, "is not a pacing", PACINGS)
        for name, share in self.capabilities.items():
            if name not in (*CAPABILITIES, MIXED):
                raise ConfigError("operation.capabilities", name, "is not a capability", (*CAPABILITIES, MIXED))
            require(0 <= share < math.inf, f"operation.capabilities.{name}", share, "must be at least 0")
        some = not self.capabilities or sum(self.capabilities.values()) > 0
        require(some, "operation.capabilities", dict(self.capabilities), "must give one a share")
        split = self.standby == 0 or self.networks >= 2
        require(split, "operation.networks", self.networks, "must be at least 2 where a second pool stands by")
        enough = self.most_accounts == 0 or self.most_accounts >= self.accounts + self.standby
        require(enough, "operation.most_accounts", self.most_accounts, "must be at least accounts + standby")

    def mix(self) -> dict[str, float]:
        """Share of the exchanges by capability, adding up to 1."""
        shares: dict[str, float] = {}
        for name, share in (self.capabilities or {MIXED: 1.0}).items():
            for each in CAPABILITIES if name == MIXED else (name,):
                shares[each] = shares.get(each, 0.0) + share / (len(CAPABILITIES) if name == MIXED else 1)
        total = sum(shares.values())
        return {name: share / total for name, share in shares.items() if share}

    @property
    def planned_pace(self) -> float:
        """Requests a day of one account that the plan needs, those of unrelated customers included."""
        return self.exchanges / self.share / self.accounts / self.days

    @property
    def most_pace(self) -> float:
        """Requests a day that it asks of one account at most."""
        return self.pace or 4.0 * self.planned_pace
