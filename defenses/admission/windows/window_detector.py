"""Windows of an account's requests, judged when they are full, and thresholds from windows of honest traffic.

Windows tumble: an account's first n requests are its first window, the next n its second. An account that never fills a
window is never judged. Knows no single detector.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError, require
from defenses.admission.detector import Detector, Suspicion
from defenses.base import AdmissionState, Prepared, Traffic
from lm.compiled import kernel
from lm.later import torch
from teacher.api.schema import Prompts, Requests

WITHIN, ACROSS = "within", "across"
BEYOND = 10
"""Benign windows that have to lie beyond a threshold, so that its quantile is known to about a third of itself."""


class Cut(NamedTuple):
    """Requests of many accounts, cut into windows.

    Args:
        owner: (K,) int32 account of each full window; an account's windows stand in order.
        windows: (K, n) int32 values.
        account: (L,) int32 accounts of what fills no window yet, an account's values in order.
        value: (L,) int32.
    """

    owner: NDArray[np.int32]
    windows: NDArray[np.int32]
    account: NDArray[np.int32]
    value: NDArray[np.int32]


def cut(account: NDArray[np.int32], value: NDArray[np.int32], size: int) -> Cut:
    """Each account's values, in the order given, in windows of ``size``.

    Args:
        account: (B,) ids from 0.
        value: (B,) what windows hold.
        size: n.
    """
    counts = np.bincount(account)
    starts = np.cumsum(counts) - counts
    order = _grouped(account, starts.copy())
    account, value = account[order], value[order]
    full = counts // size
    first = np.repeat(starts - size * (np.cumsum(full) - full), full) + size * np.arange(int(full.sum()))
    owner = np.repeat(np.arange(len(counts), dtype=np.int32), full)
    left = np.arange(len(account)) >= (starts + size * full)[account]
    return Cut(owner, value[first[:, None] + np.arange(size)], account[left], value[left])


def _group(account: NDArray[np.int32], place: NDArray[np.int64]) -> NDArray[np.int64]:
    """(B,) rows by account, in their order within each; ``place`` (A,) is where each account begins, and is used up."""
    order = np.empty(len(account), np.int64)
    for row in range(len(account)):
        who = account[row]
        order[place[who]] = row
        place[who] += 1
    return order


_grouped = kernel(_group)


def grown(held: NDArray[Any], rows: int, fill: float = 0) -> NDArray[Any]:
    """``held``, or where it has fewer than ``rows`` rows a copy that has at least as many, new ones all ``fill``."""
    if len(held) >= rows:
        return held
    size = max(rows, 2 * len(held))
    wider = np.full((size, *held.shape[1:]), fill, held.dtype)
    wider[: len(held)] = held
    return wider


@dataclass(frozen=True)
class WindowDetector(Detector):
    """Base of detectors that judge windows of n requests of an account. Override `learn`, `judge`, and `values` if need be.

    The threshold is a quantile of what `judge` says of windows of honest traffic, none of which `learn` has seen. It holds
    for a window; an account that fills many is tried many times. The score of an account is the largest of its windows
    since the last examination, as a multiple of the threshold: over 1 is an alarm.

    Args:
        window: requests in a window, n.
        quantile: share of benign windows that raise no alarm.
        benign_windows: what a benign window is: ``across`` draws requests of all honest accounts together (the protocol of
            the literature; the windows then differ by chance only), ``within`` takes successive requests of one honest
            account, as the windows that are judged later are (accounts differ from each other, so the threshold is higher).
        draws: most benign windows that the threshold is taken from; with ``within`` every account's first come first.
        reference: benign requests that the reference is learned from, apart from those in benign windows.
    """

    name: ClassVar[str] = "window_detector"
    version: ClassVar[int] = 1

    window: int = 100
    quantile: float = 0.95
    benign_windows: Literal["across", "within"] = "within"
    draws: int = 1000
    reference: int = 2000

    def __post_init__(self) -> None:
        super().__post_init__()
        name = self.name
        require(self.window >= 2, f"{name}.window", self.window, "must be at least 2")
        require(0 < self.quantile < 1, f"{name}.quantile", self.quantile, "must be between 0 and 1")
        require(self.reference >= 2, f"{name}.reference", self.reference, "must be at least 2")
        if self.benign_windows not in (WITHIN, ACROSS):
            raise ConfigError(f"{name}.benign_windows", self.benign_windows, "is no kind of window", (WITHIN, ACROSS))
        least = self.windows_needed
        text = f"must be at least {least}: {BEYOND} windows have to lie beyond the quantile {self.quantile}"
        require(self.draws >= least, f"{name}.draws", self.draws, text)

    @property
    def reads(self) -> tuple[str, ...]:
        """See `Detector.reads`: prompts, unless `values` is overridden."""
        return ("prompt",)

    @property
    def windows_needed(self) -> int:
        """Benign windows that the quantile needs."""
        return math.ceil(BEYOND / (1 - self.quantile) - 1e-6)

    @property
    def least_threshold(self) -> float:
        """What the threshold is where honest windows would put it lower, so that scores are finite."""
        return 1e-6

    @abstractmethod
    def learn(self, benign: Traffic, rows: NDArray[np.int64], rng: np.random.Generator) -> Prepared:
        """What windows are compared with, from the given rows of honest traffic.

        Raises:
            ConfigError: they cannot serve.
        """

    @abstractmethod
    def judge(
        self, windows: NDArray[np.int32], prompts: Prompts, prepared: Prepared, memory: dict[str, Any]
    ) -> NDArray[np.float64]:
        """(K,) how suspicious each window of values (K, n) is; ``memory`` is for what is found of ``prompts`` once."""

    def values(self, requests: Requests, output_tokens: NDArray[np.int32], prepared: Prepared) -> NDArray[np.int32]:
        """(B,) what a window holds of each request: the row of its prompt, unless overridden."""
        return requests.prompt.astype(np.int32)

    def fit(self, benign: Traffic, red_team: Traffic | None, rng: np.random.Generator) -> Prepared:
        """See `Detector.fit`.

        Raises:
            ConfigError: too few benign requests for the reference, or too few windows in them for the quantile.
        """
        reference, windows = self._split(benign.requests, rng)
        prepared = self.learn(benign, reference, rng)
        values = self.values(benign.requests, benign.output_tokens, prepared)[windows]
        found = self.judge(values, benign.prompts, prepared, {})
        threshold = max(float(np.quantile(found, self.quantile, method="higher")), self.least_threshold)
        return {**prepared, "threshold": torch.tensor(threshold, dtype=torch.float64)}

    def _split(self, requests: Requests, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(m,) rows to learn from; (K, n) rows in windows, none of them among the first."""
        field, count, size = f"{self.name}.benign_requests", len(requests), self.window
        text = f"are not more than the {self.reference} that the reference takes; give more, or lower reference"
        require(count > self.reference, field, count, text)
        learned = np.zeros(count, np.bool_)
        learned[rng.choice(count, self.reference, replace=False)] = True
        rest = np.flatnonzero(~learned)
        if self.benign_windows == ACROSS:
            kept = min(self.draws, len(rest) // size)
            windows = rng.permutation(rest)[: kept * size].reshape(kept, size)
        else:
            found = cut(requests.account[rest], np.arange(len(rest), dtype=np.int32), size)
            turn = np.arange(len(found.owner)) - np.searchsorted(found.owner, found.owner)
            windows = rest[found.windows[np.lexsort((rng.permutation(len(turn)), turn))[: self.draws]]]
        text = (
            f"hold {len(windows)} windows of {size} requests {self.benign_windows} accounts (beside the {self.reference} of"
            f" the reference), and a threshold at the quantile {self.quantile} needs {self.windows_needed};"
            " give more requests, or lower window, reference or quantile"
        )
        require(len(windows) >= self.windows_needed, field, count, text)
        return np.flatnonzero(learned), windows

    def watch(self, requests: Requests, output_tokens: NDArray[np.int32], state: AdmissionState) -> None:
        """See `Detector.watch`: judge the windows that these requests fill, keep what fills none yet."""
        threshold = self._threshold(state)
        if not len(requests):
            return
        memory = state.memory
        account = requests.account.astype(np.int32)
        value = self.values(requests, output_tokens, state.prepared)
        if "_waiting" in memory:
            waiting = memory["_waiting"]
            account, value = np.concatenate([waiting[0], account]), np.concatenate([waiting[1], value])
        found = cut(account, value, self.window)
        memory["_waiting"] = (found.account, found.value)
        if len(found.owner):
            score = self.judge(found.windows, state.prompts, state.prepared, memory) / threshold
            np.maximum.at(self._best(state), found.owner, score)

    def examine(self, state: AdmissionState, now: float) -> Suspicion:
        """See `Detector.examine`: accounts that have filled a window since the last examination."""
        best = self._best(state)
        judged = np.flatnonzero(best > -np.inf)
        score = best[judged]
        best[judged] = -np.inf
        return Suspicion.alone(judged, score, 1.0)

    def _best(self, state: AdmissionState) -> NDArray[np.float64]:
        """(A or more,) largest score of each account since the last examination, -inf where none."""
        held = state.memory.get("_best", np.zeros(0))
        best: NDArray[np.float64] = grown(held, len(state.accounts), -np.inf)
        state.memory["_best"] = best
        return best

    def _threshold(self, state: AdmissionState) -> float:
        if "threshold" not in state.prepared:
            raise ConfigError(
                f"{self.name}", sorted(state.prepared), "has not been fitted: `prepare` gave no threshold"
            )
        return float(state.prepared["threshold"])
