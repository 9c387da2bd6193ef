"""What the detectors that link accounts have in common: what they watch, and how those that are fitted are fitted."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, require
from defenses.admission.detector import Detector, Suspicion
from defenses.admission.linking.actions import ATTRIBUTES, HOUR, KINDS, Sightings, Tokens, keys_of, of_places
from defenses.admission.sight import sketch_of
from defenses.base import AdmissionState, Prepared, Traffic
from defenses.strength import Strength
from lm.later import torch
from teacher.api.ledger import Ledger
from teacher.api.prices import Prices
from teacher.api.schema import Requests


@dataclass(frozen=True)
class LinkDetector(Detector):
    """Base of the detectors that link accounts by what they have in common. Override `fit` and `examine`.

    Args:
        constraints: what links two accounts: ``template`` (near copies of a prompt, by MinHash), ``payment``, ``network``
            (/24), ``asn`` (the block of networks), ``fingerprint`` of the client.
        memory_hours: how long what an account did is remembered.
        least: fewest accounts of a group that raises an alarm.
    """

    name: ClassVar[str] = "link_detector"
    version: ClassVar[int] = 1
    offered: ClassVar[tuple[str, ...]] = ATTRIBUTES
    across_accounts: ClassVar[bool] = True

    constraints: tuple[str, ...] = ATTRIBUTES
    memory_hours: float = 24.0
    least: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.constraints) > 0, "detector.constraints", self.constraints, "must name at least one")
        for kind in self.constraints:
            if kind not in self.offered:
                raise ConfigError("detector.constraints", kind, "is nothing that links accounts here", self.offered)
        repeated = len(set(self.constraints)) < len(self.constraints)
        require(not repeated, "detector.constraints", self.constraints, "must name each once")
        require(self.memory_hours > 0, "detector.memory_hours", self.memory_hours, "must be more than 0")
        require(self.least >= 2, "detector.least", self.least, "must be at least 2")

    @property
    def reads(self) -> tuple[str, ...]:
        """See `Detector.reads`: what its constraints are."""
        return tuple("prompt" if kind == "template" else kind for kind in self.constraints if kind != "release")

    @property
    def slot(self) -> float:
        """Seconds of a slot, the grain in which time is kept."""
        return HOUR

    @property
    def timed(self) -> bool:
        """Whether doing the same counts only at the same time."""
        return False

    @property
    def releases(self) -> tuple[float, ...]:
        """Days of model releases."""
        return ()

    def watch(self, requests: Requests, output_tokens: NDArray[np.int32], state: AdmissionState) -> None:
        """See `Detector.watch`; keeps distinct (account, network, slot) and (account, template, slot)."""
        if not len(requests):
            return
        slot = np.floor_divide(requests.time, self.slot).astype(np.int64)
        network = state.accounts.network[requests.account] if requests.network is None else requests.network
        self._sightings(state, "_places").add(requests.account, network, slot)
        if "template" in self.constraints:
            sketch = sketch_of(state.prompts, state.memory)
            self._sightings(state, "_templates").add(requests.account, sketch[requests.prompt], slot)

    def tokens(self, state: AdmissionState, now: float) -> Tokens:
        """What accounts did in the last ``memory_hours``, and before in the slot in which these begin."""
        oldest = int(np.floor((now - HOUR * self.memory_hours) / self.slot))
        places, fresh = self._sightings(state, "_places").recall(oldest)
        columns = of_places(places, state.accounts, self.slot, self.releases)
        found = [columns[kind] for kind in self.constraints if kind != "template"]
        numbers = [KINDS.index(kind) for kind in self.constraints if kind != "template"]
        if "template" in self.constraints:
            templates, _ = self._sightings(state, "_templates").recall(oldest)
            found.append(templates)
            numbers.append(KINDS.index("template"))
        grids = (0, 1) if self.timed else (None,)
        parts = [(noted, number, grid) for noted, number in zip(found, numbers, strict=True) for grid in grids]
        account = np.concatenate([noted.account for noted, _, _ in parts])
        return Tokens(account, np.concatenate([keys_of(*part) for part in parts]), fresh)

    def seen(self, benign: Traffic) -> tuple[AdmissionState, float]:
        """A state in which past traffic has been watched, and the time of its last request."""
        state = AdmissionState(Ledger(), {}, benign.accounts, Prices(), prompts=benign.prompts)
        self.watch(benign.requests, benign.output_tokens, state)
        return state, float(benign.requests.time.max(initial=0.0))

    def _sightings(self, state: AdmissionState, name: str) -> Sightings:
        found: Sightings = state.memory.setdefault(name, Sightings(self.timed))
        return found


class Ranked(NamedTuple):
    """What a method makes of the accounts in memory, before any threshold.

    Args:
        account: (K,) int32 ids, each once.
        score: (K,) float64, larger is more suspicious.
        group: (K,) int32 number of the group each is in, -1 for none.
    """

    account: NDArray[np.int32]
    score: NDArray[np.float64]
    group: NDArray[np.int32]


@dataclass(frozen=True)
class FittedLinkDetector(LinkDetector):
    """Base of those whose threshold is a quantile of honest accounts' scores. Override `rank`.

    The quantile is of accounts, those that no link was found for included, and holds for a population and a length of memory
    like those it was fitted on: groups of honest accounts grow with both.

    Args:
        false_alarms: share of honest accounts that may be over the threshold.
    """

    name: ClassVar[str] = "fitted_link_detector"
    version: ClassVar[int] = 1
    strength: ClassVar[Strength | None] = Strength("false_alarms", 1e-3, 0.5, log=True)
    floor: ClassVar[float] = 0.0

    benign_requests: int = 50_000
    false_alarms: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.false_alarms < 1, "detector.false_alarms", self.false_alarms, "must be between 0 and 1")

    @abstractmethod
    def rank(self, state: AdmissionState, tokens: Tokens, now: float) -> Ranked:
        """Score the accounts that there is enough to say about; scores up to ``floor`` never raise an alarm."""

    def fit(self, benign: Traffic, red_team: Traffic | None, rng: np.random.Generator) -> Prepared:
        """``threshold``, (1,) float64: the smallest score that at most ``false_alarms`` of the accounts exceed, one more
        counted among those that do (split conformal: the next honest account's chance is then at most that, too).

        Raises:
            ConfigError: fewer honest accounts than it takes to see so rare a score.
        """
        state, now = self.seen(benign)
        tokens = self.tokens(state, now)
        active = len(np.unique(tokens.account))
        needed = int(np.ceil(1.0 / self.false_alarms)) - 1
        if active < needed:
            reason = f"takes past traffic of at least {needed} accounts to be fitted, and here are {active}"
            raise ConfigError("detector.false_alarms", self.false_alarms, reason)
        ranked = self.rank(state, tokens, now).score
        scores = np.sort(np.concatenate([np.zeros(active - len(ranked)), ranked]))
        over = max(int(np.floor(self.false_alarms * (active + 1) + 1e-9)) - 1, 0)
        return {"threshold": torch.tensor([max(self.floor, float(scores[active - 1 - over]))], dtype=torch.float64)}

    def examine(self, state: AdmissionState, now: float) -> Suspicion:
        """Judge every account that did something new, and all of a group in which one did, banned ones left out.

        Raises:
            ConfigError: it was never fitted.
        """
        if "threshold" not in state.prepared:
            raise ConfigError(
                "prepared", sorted(state.prepared), "has no threshold: the detector has to be fitted first"
            )
        threshold = float(state.prepared["threshold"][0])
        tokens = self.tokens(state, now)
        account, score, group = self.rank(state, tokens, now)
        new = np.isin(account, tokens.fresh)
        told = new | ((group >= 0) & np.isin(group, group[new]))
        told &= ~state.accounts.banned[account]
        return Suspicion(account[told], score[told], score[told] > threshold, group[told])
