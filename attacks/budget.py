"""The attacker's budget: how many queries, over how many distinct prompts, in which time, from how many accounts, and
what he can spend of his own. Query budget, data budget and own compute are three of the threat model's four axes
(arXiv 2606.25059, 2609.35699); the interface is the fourth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from attacks.compute import Compute
from configs.errors import MoatBenchError, require
from configs.identity import added


class BudgetExceededError(MoatBenchError):
    """An attack asked for more than its budget; nothing was sent.

    Args:
        what: which budget ("queries" or "data").
        asked: how much it would have come to.
        allowed: how much there is.
    """

    def __init__(self, what: str, asked: int, allowed: int) -> None:
        self.what, self.asked, self.allowed = what, asked, allowed
        super().__init__(f"budget.{what} = {allowed}: the attack asked for {asked}; nothing was sent")


def allocate(total: int, mix: Mapping[str, float]) -> dict[str, int]:
    """``total`` split by the shares of ``mix`` (normalised here) by largest remainder, so that the counts add up."""
    whole = sum(mix.values())
    exact = {family: total * share / whole for family, share in mix.items()}
    counts = {family: int(value) for family, value in exact.items()}
    by_remainder = sorted(exact, key=lambda family: counts[family] - exact[family])
    for family in by_remainder[: total - sum(counts.values())]:
        counts[family] += 1
    return counts


@dataclass(frozen=True)
class Budget:
    """What an attacker can spend.

    Args:
        queries: most requests, whatever becomes of them (retries after a 429 are free).
        data: most distinct prompts.
        hours: length of the campaign on the virtual clock.
        accounts: how many accounts send in turn.
        rate: requests a minute that each account tries to send.
        mix: relative share of each capability family; empty for the task's own mix.
        compute: what he can spend of his own, besides training on what he got.
        checker_error: share of wrong verdicts of his own checker, in [0, 0.5]; which ones is drawn by prompt and response.
    """

    queries: int = 2128
    data: int = 2128
    hours: float = 24.0
    accounts: int = 1
    rate: float = 2.0
    mix: dict[str, float] = field(default_factory=dict)
    compute: Compute = field(default_factory=Compute)
    checker_error: float = added(0.0)

    def __post_init__(self) -> None:
        require(self.queries >= 1, "budget.queries", self.queries, "must be at least 1")
        require(self.data >= 1, "budget.data", self.data, "must be at least 1")
        require(self.hours > 0, "budget.hours", self.hours, "must be more than 0")
        require(self.accounts >= 1, "budget.accounts", self.accounts, "must be at least 1")
        require(self.rate > 0, "budget.rate", self.rate, "must be more than 0")
        require(0 <= self.checker_error <= 0.5, "budget.checker_error", self.checker_error, "must lie in [0, 0.5]")
        for family, share in self.mix.items():
            require(share >= 0, f"budget.mix.{family}", share, "must be at least 0")
        require(not self.mix or sum(self.mix.values()) > 0, "budget.mix", self.mix, "must give some family a share")
