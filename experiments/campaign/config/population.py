"""The legitimate population as configuration: how many accounts there are, how much they send, how alike they are.

The defaults follow the fits of public traces in ``data/population.csv``; shares of workloads and the hard negatives are
proposals (source I in the data).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from configs.errors import ConfigError, require
from experiments.campaign.config import figures

REQUEST, ACCOUNT = 100, 200
"""Bytes that a request and an account take at least while they are simulated (measured, docs/performance.md)."""


@dataclass(frozen=True)
class Population:
    """Honest accounts.

    Args:
        accounts: how many, those opened in the course of the campaign included.
        requests_per_day: mean over all of them.
        workloads: relative share of accounts; names of ``data/population.csv``.
        hard_negatives: share of accounts that do, for honest reasons, what attackers do.
        periodic: share of the others that send on a schedule.
        new: share of accounts opened within the window, evenly.
        organisations: share of accounts in organisations with several accounts.
        own_topics: mean share of an account's requests on topics of its own.
        topics: median number of these (lognormal, σ 1); fewer make accounts more unlike each other.
        age_days: accounts that are there at the start were opened up to this long before, evenly.
        trough: least and largest ratio of the hourly peak to the trough of an account's day.
    """

    accounts: int = 100_000
    requests_per_day: float = 53.333
    workloads: Mapping[str, float] = field(
        default_factory=lambda: {
            "chat_small": 0.15,
            "chat_mid": 0.2,
            "chat_large": 0.25,
            "reasoning": 0.1,
            "conversation": 0.15,
            "code": 0.1,
            "long_context": 0.05,
        }
    )
    hard_negatives: float = 0.075
    periodic: float = 0.22
    new: float = 0.15
    organisations: float = 0.1
    own_topics: float = 0.7
    topics: float = 20.0
    age_days: float = 720.0
    trough: tuple[float, ...] = (1.4, 5.0)

    def __post_init__(self) -> None:
        require(self.accounts >= 1, "population.accounts", self.accounts, "must be at least 1")
        for name in ("requests_per_day", "age_days", "topics"):
            value = getattr(self, name)
            require(0 < value < np.inf, f"population.{name}", value, "must be more than 0")
        for name in ("hard_negatives", "periodic", "new", "organisations"):
            require(0 <= getattr(self, name) <= 1, f"population.{name}", getattr(self, name), "must be between 0 and 1")
        require(0 < self.own_topics < 1, "population.own_topics", self.own_topics, "must be between 0 and 1")
        for name, share in self.workloads.items():
            figures.workload(name)
            require(0 <= share < np.inf, f"population.workloads.{name}", share, "must be at least 0")
        require(sum(self.workloads.values()) > 0, "population.workloads", dict(self.workloads), "must give one a share")
        low_high = len(self.trough) == 2 and 1 <= self.trough[0] <= self.trough[1] < np.inf
        if not low_high:
            raise ConfigError("population.trough", self.trough, "must be two ratios, 1 at least, the smaller first")

    def memory(self, days: float) -> int:
        """Bytes that these accounts and what they send in so many days take at least."""
        return round(self.accounts * (ACCOUNT + REQUEST * self.requests_per_day * days))
