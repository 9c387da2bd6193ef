"""A hard cap on queries. Knows nothing of tokens or money."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, require
from defenses.base import AdmissionState, Defense
from defenses.strength import Strength
from teacher.api.schema import RATE_LIMITED, Requests, Verdicts


@dataclass(frozen=True)
class QueryQuota(Defense):
    """Admit at most ``queries`` per account in each window; the rest are 429s without ``retry-after``, as spend caps are.

    Windows follow one another from virtual second 0. Refused requests do not count.

    Args:
        queries: most admitted in a window.
        window_hours: its length.
        scope: whether an account or a whole organisation has this many.
    """

    name: ClassVar[str] = "query_quota"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "provider practice: hard usage quotas, https://platform.openai.com/docs/guides/rate-limits"
    checked: ClassVar[str] = "counting requests one by one (hypothesis)"
    strength: ClassVar[Strength | None] = Strength("queries", 10_000, 1, log=True)

    queries: int = 500
    window_hours: float = 720.0
    scope: str = "account"

    def __post_init__(self) -> None:
        require(self.queries >= 1, "query_quota.queries", self.queries, "must be at least 1")
        require(self.window_hours > 0, "query_quota.window_hours", self.window_hours, "must be more than 0")
        if self.scope not in ("account", "organisation"):
            raise ConfigError("query_quota.scope", self.scope, "is not what has a quota", ("account", "organisation"))

    def admit(self, requests: Requests, state: AdmissionState) -> Verdicts:
        """Refuse what goes over the quota."""
        owner = requests.account if self.scope == "account" else state.accounts.organisation[requests.account]
        window = np.floor(requests.time / (3600.0 * self.window_hours)).astype(np.int64)
        groups, group = np.unique(window << 32 | owner.astype(np.int64), return_inverse=True)
        used: dict[int, int] = state.memory.setdefault("used", {})
        before = np.array([used.get(key, 0) for key in groups.tolist()], np.int64)
        ok = before[group] + _rank(group) < self.queries
        used.update(
            zip(groups.tolist(), (before + np.bincount(group[ok], minlength=len(groups))).tolist(), strict=True)
        )
        verdicts = Verdicts.admitted(len(requests))
        verdicts.status[~ok] = RATE_LIMITED
        verdicts.reason[~ok] = "query_quota"
        return verdicts


def _rank(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """(B,) how many earlier rows belong to the same group."""
    order = np.argsort(group, kind="stable")
    counts = np.bincount(group)
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank
