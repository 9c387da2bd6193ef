"""What detectors have in common: fitted on past traffic, they watch requests go by and say now and then whom they suspect.

In a lab cell a detector is an admission defense that shuts out the accounts over its threshold; in a campaign the provider's
ladder decides what follows from a suspicion. Knows no single detector.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, require
from defenses.base import AdmissionState, Defense, Preparation, Prepared, Traffic
from defenses.strength import Strength
from teacher.api.schema import FORBIDDEN, Requests, Verdicts

READABLE = ("prompt", "input_tokens", "output_tokens", "network", "asn", "payment", "fingerprint", "opened")
"""What a detector can read of a request (its prompt, lengths and network, the block of networks it is in) and of its account
(means of payment, client, when it was opened). Everybody sees accounts and times."""


class Suspicion(NamedTuple):
    """What one examination found, a row for each account that there was enough to say about.

    Args:
        account: (K,) int32 ids, each once.
        score: (K,) float64, larger is more suspicious; comparable between accounts and examinations.
        alarm: (K,) bool whether it is over the detector's threshold.
        cluster: (K,) int32 number of the group that was found together in this examination, -1 for an account alone.
    """

    account: NDArray[np.int32]
    score: NDArray[np.float64]
    alarm: NDArray[np.bool_]
    cluster: NDArray[np.int32]

    @classmethod
    def nobody(cls) -> Suspicion:
        """No row at all."""
        return cls(np.zeros(0, np.int32), np.zeros(0), np.zeros(0, np.bool_), np.zeros(0, np.int32))

    @classmethod
    def alone(cls, account: NDArray[np.integer], score: NDArray[np.float64], threshold: float) -> Suspicion:
        """Accounts judged one by one against a threshold, which raises no alarm itself."""
        score = np.asarray(score, np.float64)
        return cls(account.astype(np.int32), score, score > threshold, np.full(len(score), -1, np.int32))


@dataclass(frozen=True)
class Detector(Defense):
    """Base of all detectors. Override `fit`, `watch` and `examine`.

    As an admission defense it examines every ``every_hours`` of virtual time what it has watched since it began. From
    ``delay_hours`` after their first alarm on it answers 403 to accounts over the threshold; or admits them and marks their
    requests, for other defenses of the stack to act on (`defenses.release.suspects`).

    Args:
        every_hours: hours between examinations.
        delay_hours: hours from an alarm to what follows, in a lab cell; a campaign has the ladder's own delay.
        benign_requests: past requests of honest accounts to be fitted on, in a lab cell.
        action: what follows, in a lab cell: ``refuse`` or ``mark``; a campaign has the ladder's rungs.

    One that suspects whoever sends more requests than any honest account did, as an example:

    >>> from types import SimpleNamespace
    >>> import torch
    >>> @dataclass(frozen=True)
    ... class Busiest(Detector):
    ...     name: ClassVar[str] = "busiest"
    ...     version: ClassVar[int] = 1
    ...     source: ClassVar[str] = "an example"
    ...
    ...     def fit(self, benign, red_team, rng):
    ...         return {"most": torch.tensor(np.bincount(benign.requests.account).max())}
    ...
    ...     def watch(self, requests, output_tokens, state):
    ...         sent = np.bincount(requests.account, minlength=len(state.accounts))
    ...         state.memory["sent"] = state.memory.get("sent", 0) + sent
    ...
    ...     def examine(self, state, now):
    ...         return Suspicion.alone(np.arange(len(state.accounts)), state.memory["sent"], int(state.prepared["most"]))
    >>> def requests(*account):
    ...     return SimpleNamespace(account=np.array(account))
    >>> prepared = Busiest().fit(SimpleNamespace(requests=requests(0, 1, 1)), None, None)
    >>> state = SimpleNamespace(accounts=["a", "b"], memory={}, prepared=prepared)
    >>> Busiest().watch(requests(0, 1, 1), None, state)
    >>> Busiest().watch(requests(1, 0), None, state)
    >>> Busiest().examine(state, now=3600.0).alarm.tolist()
    [False, True]
    """

    name: ClassVar[str] = "detector"
    version: ClassVar[int] = 1
    strength: ClassVar[Strength | None] = None
    needs_red_team: ClassVar[bool] = False

    every_hours: float = 1.0
    delay_hours: float = 0.0
    benign_requests: int = 4000
    action: Literal["refuse", "mark"] = "refuse"

    def __post_init__(self) -> None:
        for name in ("every_hours", "benign_requests"):
            require(getattr(self, name) > 0, f"detector.{name}", getattr(self, name), "must be more than 0")
        if self.action not in ("refuse", "mark"):
            raise ConfigError("detector.action", self.action, "is not allowed", ["refuse", "mark"])
        require(self.delay_hours >= 0, "detector.delay_hours", self.delay_hours, "must be at least 0")

    @property
    def reads(self) -> tuple[str, ...]:
        """What of a request and its account it needs, of `READABLE`: a log that lacks one cannot be judged by it."""
        return READABLE

    @abstractmethod
    def fit(self, benign: Traffic, red_team: Traffic | None, rng: np.random.Generator) -> Prepared:
        """Thresholds and references from past traffic.

        Args:
            benign: of honest accounts.
            red_team: of the provider's own red team; given where ``needs_red_team``.
            rng: explicit.

        Raises:
            ConfigError: too little traffic for the threshold that is asked for.
        """

    @abstractmethod
    def watch(self, requests: Requests, output_tokens: NDArray[np.int32], state: AdmissionState) -> None:
        """Take note of B answered requests (sorted by time within each account) in ``state.memory``.

        In a campaign B is millions: vectorise. ``state.accounts`` may have grown since the last call. ``output_tokens``
        (B,) are those of the answers, or what was reserved where answers are not known yet.
        """

    @abstractmethod
    def examine(self, state: AdmissionState, now: float) -> Suspicion:
        """Judge the accounts that have something new since the last examination.

        Args:
            state: with the memory that `watch` keeps; its ``ledger`` and ``max_tokens`` are not to be used here.
            now: virtual seconds.
        """

    def prepare(self, context: Preparation) -> Prepared:
        """See `Defense.prepare`."""
        benign = context.benign(self.benign_requests)
        red_team = context.red_team(self.benign_requests) if self.needs_red_team else None
        return self.fit(benign, red_team, context.rng)

    def admit(self, requests: Requests, state: AdmissionState) -> Verdicts:
        """Shut out or mark whoever was over the threshold long enough ago, watch the others, examine when it is time.

        Examinations lie on a fixed grid of virtual time, so that they do not depend on how requests come in batches.
        """
        own: dict[str, Any] = state.memory
        out_from: NDArray[np.float64] = own.setdefault("_out_from", np.zeros(0))
        if len(out_from) < len(state.accounts):
            new = np.full(len(state.accounts) - len(out_from), np.inf)
            out_from = own["_out_from"] = np.concatenate([out_from, new])
        verdicts = Verdicts.admitted(len(requests))
        reserved = np.broadcast_to(np.asarray(state.max_tokens, np.int32), (len(requests),))
        start = 0
        while start < len(requests):
            self._examine_by(float(requests.time[start]), out_from, state)
            stop = max(start + 1, int(np.searchsorted(requests.time, own["_next"])))
            rows = np.arange(start, stop)
            over = requests.time[rows] >= out_from[requests.account[rows]]
            if self.action == "mark":
                verdicts.marked[rows[over]] = True
                refused = np.zeros_like(over)
            else:
                refused = over
                verdicts.status[rows[refused]] = FORBIDDEN
                verdicts.reason[rows[refused]] = "suspected"
            seen = rows[~refused]
            now = replace(state, max_tokens=reserved[seen])
            self.watch(requests.take(seen), reserved[seen], now)
            own["_watched"] = own["_watched"] or len(seen) > 0
            start = stop
        return verdicts

    def shut_out(self, memory: Mapping[str, Any]) -> NDArray[np.integer]:
        """Who has had an alarm; nobody where they are only marked."""
        if self.action == "mark":
            return np.zeros(0, np.int64)
        return np.flatnonzero(np.isfinite(memory.get("_out_from", np.zeros(0))))

    def _examine_by(self, time: float, out_from: NDArray[np.float64], state: AdmissionState) -> None:
        """Make the examination that is due at ``time``, if anything was watched since the last."""
        own, every = state.memory, 3600.0 * self.every_hours
        due = own.setdefault("_next", (np.floor(time / every) + 1.0) * every)
        if own.setdefault("_watched", False) and time >= due:
            found = self.examine(state, due)
            guilty = found.account[found.alarm]
            out_from[guilty] = np.minimum(out_from[guilty], due + 3600.0 * self.delay_hours)
            own["_watched"] = False
        if time >= due:
            own["_next"] = (np.floor(time / every) + 1.0) * every
