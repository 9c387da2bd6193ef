"""Rate limits as providers set them: token buckets with continuous refill, usage tiers, spend caps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, require
from configs.ranges import Unlimited, at_least
from defenses.admission.limits.buckets import DAILY_CAP, Rows, Spending, empty, judge, promote
from defenses.base import AdmissionState, Defense
from defenses.strength import Strength
from teacher.api.accounts import Accounts
from teacher.api.clock import DAY, MONTH
from teacher.api.schema import RATE_LIMITED, Requests, Verdicts

KINDS = ("requests", "input_tokens", "output_tokens")
_REASONS = np.array([*KINDS, "too_large", "daily_spend", "monthly_spend"], object)
"""By the codes of `judge`."""


@dataclass(frozen=True)
class Limits:
    """Rates and caps; ``.inf`` is no limit.

    Args:
        requests_per_minute: refill of the request bucket.
        input_tokens_per_minute: refill of the input-token bucket.
        output_tokens_per_minute: refill of the output-token bucket; a request reserves all that it may generate.
        burst_minutes: capacity of each bucket, in minutes of refill.
        dollars_per_day: spend cap of a virtual day.
        dollars_per_month: spend cap of 30 virtual days.
    """

    requests_per_minute: Unlimited = math.inf
    input_tokens_per_minute: Unlimited = math.inf
    output_tokens_per_minute: Unlimited = math.inf
    burst_minutes: float = 1.0
    dollars_per_day: Unlimited = math.inf
    dollars_per_month: Unlimited = math.inf

    def __post_init__(self) -> None:
        for name in (
            *(f"{kind}_per_minute" for kind in KINDS),
            "burst_minutes",
            "dollars_per_day",
            "dollars_per_month",
        ):
            require(getattr(self, name) > 0, f"token_bucket.{name}", getattr(self, name), "must be more than 0")
        burst = self.requests_per_minute * self.burst_minutes
        require(burst >= 1, "token_bucket.burst_minutes", self.burst_minutes, "must make room for one request")

    @property
    def row(self) -> list[float]:
        """What `judge` takes of these limits: refill per second, capacity, caps."""
        rates = [getattr(self, f"{kind}_per_minute") for kind in KINDS]
        capacities = [rate * self.burst_minutes for rate in rates]
        return [*(rate / 60.0 for rate in rates), *capacities, self.dollars_per_day, self.dollars_per_month]


@dataclass(frozen=True)
class Tier(Limits):
    """Limits of a usage tier, and what it takes to be promoted to it.

    Args:
        entry_spend: dollars spent so far ...
        entry_age_days: ... and days since the account was opened; both are needed.
    """

    name: ClassVar[str] = "tier"
    version: ClassVar[int] = 1

    entry_spend: float = 0.0
    entry_age_days: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "entry_spend", "entry_age_days")


@dataclass(frozen=True)
class TokenBucket(Limits, Defense):
    """Continuous-refill token buckets on requests, input tokens and output tokens, with promotion and spend caps.

    A request is admitted when every bucket it draws on holds enough; otherwise it takes nothing and gets a 429 whose
    ``retry-after`` is the whole number of seconds after which the buckets, left alone, hold enough. A request larger than
    a bucket, and one over a spend cap, gets a 429 without ``retry-after``. Spend counts what is reserved for requests that
    are not completed yet. The tier of an account is the highest whose spend *and* age it has reached; it is never demoted.
    With scope ``organisation`` or ``both``, the organisation's bucket has the limits of the calling account's tier, and
    the caps are the organisation's.

    Args:
        scope: whose buckets: ``account``, ``organisation`` or ``both`` (a request then needs room in the two).
        tiers: what accounts are promoted to, in that order; a new account has the limits given beside this.
    """

    name: ClassVar[str] = "token_bucket"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "provider practice: https://docs.anthropic.com/en/api/rate-limits, "
        "https://platform.openai.com/docs/guides/rate-limits"
    )
    checked: ClassVar[str] = "the definition in exact fractions, and a loop over events (hypothesis)"
    strength: ClassVar[Strength | None] = Strength("requests_per_minute", 1000, 0.02, log=True)

    requests_per_minute: Unlimited = 0.5
    burst_minutes: float = 60.0
    scope: str = "account"
    tiers: tuple[Tier, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scope not in ("account", "organisation", "both"):
            choices = ("account", "organisation", "both")
            raise ConfigError("token_bucket.scope", self.scope, "is not what has a bucket", choices)
        entries = [(t.entry_spend, t.entry_age_days) for t in self.tiers]
        require(entries == sorted(entries), "token_bucket.tiers", entries, "must be in the order of promotion")

    def admit(self, requests: Requests, state: AdmissionState) -> Verdicts:
        """Judge the batch; requests of one organisation in their order."""
        code, wait = judge(*self._inputs(requests, state))
        verdicts = Verdicts.admitted(len(requests))
        refused = code >= 0
        if refused.any():
            verdicts.status[refused] = RATE_LIMITED
            verdicts.retry_after[:] = wait
            verdicts.reason[refused] = _REASONS[code[refused]]
        return verdicts

    def _inputs(self, requests: Requests, state: AdmissionState) -> tuple[Any, ...]:
        """What `judge` takes."""
        own = state.memory
        rows = Rows(
            time=np.ascontiguousarray(requests.time, np.float64),
            account=np.ascontiguousarray(requests.account, np.int32),
            organisation=_organisations(state.accounts, own),
            input_tokens=np.ascontiguousarray(requests.input_tokens, np.int32),
            output_tokens=np.ascontiguousarray(np.atleast_1d(state.max_tokens), np.int32),
            level=self._promoted(requests, state),
        )
        held = {
            name: _grown(own, name, len(owners) if self.scope in (name, "both") else 0)
            for name, owners in (("account", state.accounts.organisation), ("organisation", own["numbers"]))
        }
        if "limits" not in own:
            own["limits"] = np.array([level.row for level in (self, *self.tiers)])
        limits = own["limits"]
        capped = np.isfinite(limits[:, DAILY_CAP:]).any(0)
        some = len(requests) and capped.any()
        spending = _spending(requests, state, self.scope, capped.tolist()) if some else Spending.uncapped()
        return rows, limits, held["account"], held["organisation"], spending

    def _promoted(self, requests: Requests, state: AdmissionState) -> NDArray[np.int16]:
        """(B,) index of each request's tier, 0 for new; promotions are written to the accounts table."""
        accounts, who = state.accounts, requests.account
        tier = np.minimum(accounts.tier[who], len(self.tiers)).astype(np.int16)
        if not self.tiers:
            return tier
        entry = np.array([(limits.entry_spend, limits.entry_age_days) for limits in self.tiers])
        reached = accounts.tier.copy()
        promote(requests.time, who, accounts.created, accounts.spend, entry, tier, reached)
        accounts.tier[:] = reached
        return tier


def _organisations(accounts: Accounts, own: dict[str, Any]) -> NDArray[np.int32]:
    """(accounts,) a number of each account's organisation, counted from 0 in the order of their first accounts."""
    numbers: dict[int, int] = own.setdefault("numbers", {})
    known: NDArray[np.int32] = own.setdefault("organisations", np.zeros(0, np.int32))
    if len(known) < len(accounts):
        new = [numbers.setdefault(name, len(numbers)) for name in accounts.organisation[len(known) :].tolist()]
        known = own["organisations"] = np.concatenate([known, np.array(new, np.int32)])
    return known


def _grown(own: dict[str, Any], name: str, owners: int) -> NDArray[np.float64]:
    """(owners, 4) the buckets held by ``name``, new ones added."""
    held: NDArray[np.float64] | None = own.get(name)
    if held is None or len(held) < owners:
        new = empty(owners - (0 if held is None else len(held)))
        held = own[name] = new if held is None else np.concatenate([held, new])
    return held


def _spending(requests: Requests, state: AdmissionState, scope: str, capped: list[bool]) -> Spending:
    """Dollars of each owner in the virtual days and months of a batch, reserved ones included; 0 where the day, or
    the month, has no cap."""
    dollars = np.ascontiguousarray(state.prices.dollars(requests.input_tokens, state.max_tokens))
    rows, totals = [], []
    owners = len(state.accounts) if scope == "account" else len(state.memory["numbers"])
    first, last = requests.time.min(), requests.time.max()
    for length, counts in zip((DAY, MONTH), capped, strict=True):
        windows: NDArray[np.floating] = np.floor([first / length])
        row: NDArray[np.integer] = np.zeros(len(requests), np.int32)
        if windows[0] < np.floor(last / length):  # not so in a campaign, whose epochs are no longer than a day
            windows, row = np.unique(np.floor(requests.time / length), return_inverse=True)
        ends = [(window * length, (window + 1) * length) for window in windows.tolist()]
        spent = [_spent(state, start, stop, scope) if counts else np.zeros(owners) for start, stop in ends]
        rows.append(row.astype(np.int32, copy=False))
        totals.append(np.array(spent))
    return Spending(dollars, rows[0], rows[1], totals[0], totals[1])


def _spent(state: AdmissionState, start: float, stop: float, scope: str) -> NDArray[np.float64]:
    """(owners,) dollars in the ledger in [start, stop)."""
    by_account = state.ledger.dollars_between(start, stop, len(state.accounts))
    if scope == "account":
        return by_account
    own = state.memory
    return np.asarray(np.bincount(own["organisations"], by_account, len(own["numbers"])), np.float64)
