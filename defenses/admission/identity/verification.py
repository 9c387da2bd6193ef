"""Step-up identity checks: who wants more has to show who they are. The one defense that may ask what only the world knows,
`Accounts.genuine`, and it errs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from configs.ranges import Unlimited
from defenses.base import AdmissionState, Defense
from defenses.keyed import secret_word
from defenses.strength import Strength
from lm.randomness import mixed
from teacher.api.accounts import Accounts
from teacher.api.clock import DAY
from teacher.api.schema import FORBIDDEN, Requests, Verdicts


class CheckOutcome(IntEnum):
    """How an identity check ends."""

    PASSED = 0
    ABANDONED = 1
    REJECTED = 2


@dataclass(frozen=True)
class Verification(Defense):
    """An identity check before an account's first request, or once it has had or spent so much; renewed when it runs out.

    The request that is over a threshold is held until the check is done, and is served if it is passed; it takes no virtual
    time. An account that gives up or is rejected gets a 403 "verification_required" from then on. An account with a real
    identity behind it gives up with probability ``abandonment`` and is otherwise rejected with probability
    ``false_reject``; one without passes with probability ``forged_pass``. Draws are a function of seed, account and number
    of the attempt, and of nothing else. Default rates: middle of published ranges (abandonment 5-60 %, false reject
    0.5-10 %, forged pass 1-50 %).

    Args:
        after_requests: an account has to be verified before it is served more than this many; 0 is before its first,
            ``.inf`` never for this reason.
        after_dollars: it has to be verified once it has been billed this much; ``.inf`` never for this reason.
        days: how long a passed check stands.
        abandonment: share of honest accounts that give up rather than be checked.
        false_reject: share of the honest ones checked that are rejected.
        forged_pass: share of checks passed with no genuine identity.
    """

    name: ClassVar[str] = "verification"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "provider practice: https://help.openai.com/en/articles/10910291-api-organization-verification; "
        "step-up: NIST SP 800-63A"
    )
    checked: ClassVar[str] = "a loop over events (hypothesis); stated rates within their error"
    strength: ClassVar[Strength | None] = Strength("after_requests", 10_000, 1, log=True)

    after_requests: Unlimited = 0.0
    after_dollars: Unlimited = math.inf
    days: float = 90.0
    abandonment: float = 0.20
    false_reject: float = 0.02
    forged_pass: float = 0.10

    def __post_init__(self) -> None:
        for name in ("after_requests", "after_dollars"):
            require(getattr(self, name) >= 0, f"verification.{name}", getattr(self, name), "must be at least 0")
        require(self.days > 0, "verification.days", self.days, "must be more than 0")
        for name in ("abandonment", "false_reject", "forged_pass"):
            share = getattr(self, name)
            require(0 <= share <= 1, f"verification.{name}", share, "must be between 0 and 1")

    def challenge(
        self,
        accounts: Accounts,
        ids: NDArray[np.integer],
        now: float | NDArray[np.float64],
        seed: int,
        attempt: int | NDArray[np.integer] = 0,
    ) -> NDArray[np.int8]:
        """Check identities now, whatever the thresholds say; ``accounts.verified_until`` is set where the check is passed.

        Args:
            accounts: the provider's.
            ids: (K,) whom to ask, each once.
            now: virtual seconds, one for all or (K,).
            seed: of the draws.
            attempt: how many checks each has had before, one for all or (K,): the same attempt ends the same way.

        Returns:
            (K,) an `CheckOutcome` of each.
        """
        whom = np.asarray(ids, np.int64)
        chance = _uniform(seed, accounts.lot[whom], np.broadcast_to(attempt, whom.shape).astype(np.int64))
        rejected_from = self.abandonment + (1 - self.abandonment) * self.false_reject
        own = np.where(chance < rejected_from, CheckOutcome.REJECTED, CheckOutcome.PASSED)
        own[chance < self.abandonment] = CheckOutcome.ABANDONED
        forged = np.where(chance < self.forged_pass, CheckOutcome.PASSED, CheckOutcome.REJECTED)
        outcome = np.where(accounts.genuine[whom], own, forged).astype(np.int8)
        passed = outcome == CheckOutcome.PASSED
        until = np.broadcast_to(np.asarray(now, np.float64) + self.days * DAY, whom.shape)
        accounts.verified_until[whom[passed]] = until[passed]
        return outcome

    def admit(self, requests: Requests, state: AdmissionState) -> Verdicts:
        """Check whoever is over a threshold and not verified, at the time of their request."""
        own, accounts, who = state.memory, state.accounts, requests.account
        served = _column(own, "served", len(accounts), 0)
        attempts = _column(own, "attempts", len(accounts), 0)
        out_from = _column(own, "out_from", len(accounts), math.inf)
        out = out_from[who] <= requests.time
        due = out | (accounts.spend[who] >= self.after_dollars) | self._had(served, who)
        open_rows = np.flatnonzero(due & ~out)
        while len(open_rows):
            late = requests.time[open_rows] >= accounts.verified_until[who[open_rows]]
            open_rows = open_rows[late & (requests.time[open_rows] < out_from[who[open_rows]])]
            first = np.full(len(accounts), -1)
            first[who[open_rows][::-1]] = open_rows[
                ::-1
            ]  # rows of an account are in order of time; the last write stands
            ids = np.flatnonzero(first >= 0)
            times = requests.time[first[ids]]
            outcome = self.challenge(accounts, ids, times, state.seed, attempts[ids])
            attempts[ids] += 1
            out_from[ids[outcome != CheckOutcome.PASSED]] = times[outcome != CheckOutcome.PASSED]
        refused = due & (out_from[who] <= requests.time)
        served += np.bincount(who[~refused], minlength=len(served))
        verdicts = Verdicts.admitted(len(requests))
        if refused.any():
            verdicts.status[refused] = FORBIDDEN
            verdicts.reason[refused] = "verification_required"
        return verdicts

    def shut_out(self, memory: Mapping[str, Any]) -> NDArray[np.integer]:
        """Who gave up or was rejected."""
        return np.flatnonzero(np.isfinite(memory.get("out_from", np.zeros(0))))

    def _had(self, served: NDArray[np.int64], who: NDArray[np.int32]) -> NDArray[np.bool_]:
        """(B,) whether the account has been served as much as it may be without a check, were all earlier rows served."""
        had = served[who] >= self.after_requests
        rows = np.flatnonzero(~had)
        if len(rows) and math.isfinite(self.after_requests):
            order = rows[np.argsort(who[rows], kind="stable")]
            start = np.flatnonzero(np.concatenate([[True], np.diff(who[order]) != 0]))
            rank = np.arange(len(order)) - np.repeat(start, np.diff([*start, len(order)]))
            had[order] = served[who[order]] + rank >= self.after_requests
        return np.asarray(had)


def _uniform(seed: int, ids: NDArray[np.int64], attempt: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K,) a number in [0, 1) for each account and attempt."""
    words = mixed(mixed(secret_word(seed) + ids.astype(np.uint64)) + attempt.astype(np.uint64))
    return np.asarray((words >> np.uint64(11)).astype(np.float64) / 2.0**53)


def _column(own: dict[str, Any], name: str, length: int, new: float) -> NDArray[Any]:
    """(length,) of the defense's memory, a row an account; accounts opened since have ``new``."""
    held: NDArray[Any] = own.setdefault(name, np.zeros(0, type(new)))
    if len(held) < length:
        held = own[name] = np.concatenate([held, np.full(length - len(held), new, held.dtype)])
    return held
