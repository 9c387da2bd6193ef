"""A classifier of how accounts behave, trained on the provider's own red team. Sees habits, never texts or identities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from configs.errors import require
from defenses.admission.detector import Detector, Suspicion
from defenses.admission.windows.habits import Habits
from defenses.base import AdmissionState, Prepared, Traffic
from defenses.strength import Strength
from lm.later import torch
from teacher.api.ledger import Ledger
from teacher.api.prices import Prices
from teacher.api.schema import Requests

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

FEWEST_RED = 20


@dataclass(frozen=True)
class Behaviour(Detector):
    """Gradient-boosted trees over an account's habits: when, how much, how evenly, how varied.

    The features are those of `habits.FEATURES`. Past traffic is cut into pieces of time and each account
    that has made enough requests gives one row after each piece, so that young and old accounts are both learnt. Scores are
    log odds; the threshold is such that at most ``false_alarms`` of the benign accounts had a score over it in any piece,
    with trees that were grown without them (cross-validation by account). Every later examination is another chance of a
    false alarm, and honest accounts unlike any in the past have no such guarantee. What `fit` leaves is the table of
    training rows; trees are grown again from it on first use, on one thread, so they are the same wherever they are grown.

    Args:
        false_alarms: share of benign accounts that may be over the threshold.
        least_requests: accounts with fewer are not judged.
        window_hours: habits are those of so many hours at most, then they are watched afresh.
        pieces: of past traffic, by time.
        trees: boosting rounds.
        leaves: most leaves of a tree.
        folds: of the cross-validation.
        most_accounts: benign accounts drawn for training and threshold, where there are more.
    """

    name: ClassVar[str] = "behaviour"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "HistGradientBoosting, after Ke et al., NeurIPS 2017 (LightGBM); behaviour classifiers as providers disclose them "
        "(Anthropic, February 2026; CISA AA26-251A)"
    )
    checked: ClassVar[str] = "features counted one by one; alarms on accounts the trees have not seen"
    strength: ClassVar[Strength | None] = Strength("false_alarms", 1e-4, 0.5, log=True)
    needs_red_team: ClassVar[bool] = True
    across_accounts: ClassVar[bool] = True  # near copies of a prompt are found among those of all accounts

    benign_requests: int = 300_000
    false_alarms: float = 1e-3
    least_requests: int = 20
    window_hours: float = 72.0
    pieces: int = 3
    trees: int = 100
    leaves: int = 15
    folds: int = 5
    most_accounts: int = 20_000

    def __post_init__(self) -> None:
        super().__post_init__()
        share = self.false_alarms
        require(0 < share < 1, "behaviour.false_alarms", share, "must be between 0 and 1")
        for name, least in (("least_requests", 2), ("pieces", 1), ("trees", 1), ("leaves", 2), ("folds", 2)):
            value = getattr(self, name)
            require(value >= least, f"behaviour.{name}", value, f"must be at least {least}")
        require(self.window_hours > 0, "behaviour.window_hours", self.window_hours, "must be more than 0")
        reason = "must be at least one over false_alarms"
        require(self.most_accounts * share >= 1, "behaviour.most_accounts", self.most_accounts, reason)

    @property
    def reads(self) -> tuple[str, ...]:
        """See `Detector.reads`; what `habits.FEATURES` are made of."""
        return ("prompt", "input_tokens", "output_tokens", "network", "opened")

    def fit(self, benign: Traffic, red_team: Traffic | None, rng: np.random.Generator) -> Prepared:
        """See `Detector.fit`."""
        assert red_team is not None, "needs_red_team"
        keep = _accounts_with(benign.requests, self.least_requests)
        needed = math.ceil(1 / self.false_alarms - 1e-9)
        each = f"with {self.least_requests} requests each"
        reason = f"needs at least {needed} benign accounts {each}, and there are {len(keep)}"
        require(len(keep) >= needed, "behaviour.false_alarms", self.false_alarms, reason)
        if len(keep) > self.most_accounts:
            keep = np.sort(rng.choice(keep, self.most_accounts, replace=False))
        guilty = _accounts_with(red_team.requests, self.least_requests)
        reason = f"{FEWEST_RED} accounts of the red team need so many requests to be learnt from; {len(guilty)} have"
        require(len(guilty) >= FEWEST_RED, "behaviour.least_requests", self.least_requests, reason)
        from sklearn.model_selection import StratifiedGroupKFold

        honest, honest_ids = self._rows(benign, keep)
        red, red_ids = self._rows(red_team, guilty)
        table = np.concatenate([honest, red])
        labels = np.repeat([False, True], [len(honest), len(red)])
        groups = np.concatenate([honest_ids.astype(np.int64), -1 - red_ids.astype(np.int64)])
        order = rng.permutation(len(table))  # folds are cut in the order of rows
        scores = np.empty(len(table))
        for train, test in StratifiedGroupKFold(self.folds).split(order, labels[order], groups[order]):
            trees = self._grown(table[order[train]], labels[order[train]])
            scores[order[test]] = _log_odds(trees, table[order[test]])
        worst = np.full(len(keep), -np.inf)
        np.maximum.at(worst, np.searchsorted(keep, honest_ids), scores[: len(honest)])
        over = math.floor(self.false_alarms * len(keep) + 1e-9)
        threshold = np.sort(worst)[::-1][over]
        return {
            "features": torch.from_numpy(table),
            "labels": torch.from_numpy(labels),
            "threshold": torch.tensor([threshold], dtype=torch.float64),
        }

    def watch(self, requests: Requests, output_tokens: NDArray[np.int32], state: AdmissionState) -> None:
        """See `Detector.watch`."""
        self._habits(state.memory).add(requests, output_tokens, state)

    def examine(self, state: AdmissionState, now: float) -> Suspicion:
        """See `Detector.examine`."""
        habits = self._habits(state.memory)
        ids = np.flatnonzero(habits.new & (habits.sums[:, 0] >= self.least_requests))
        habits.new[:] = False
        if not len(ids):
            return Suspicion.nobody()
        if "trees" not in state.memory:
            found = state.prepared
            state.memory["trees"] = self._grown(found["features"].numpy(), found["labels"].numpy())
        score = _log_odds(state.memory["trees"], habits.features(ids, state.accounts, now))
        return Suspicion.alone(ids, score, float(state.prepared["threshold"][0]))

    def _habits(self, memory: dict[str, Any]) -> Habits:
        held: Habits = memory.setdefault("habits", self._blank())
        return held

    def _blank(self) -> Habits:
        return Habits(3600.0 * self.window_hours)

    def _rows(self, traffic: Traffic, ids: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Features of these accounts after each piece of the traffic, and whose each row is."""
        time = traffic.requests.time
        state = AdmissionState(Ledger(), {}, traffic.accounts, Prices(), prompts=traffic.prompts)
        habits, rows, whose = self._blank(), [], []
        edges = np.linspace(time.min(), time.max(), self.pieces + 1)[1:]
        piece = np.minimum(np.searchsorted(edges, time), self.pieces - 1)
        for number, now in enumerate(edges.tolist()):
            at = np.flatnonzero(piece == number)
            habits.add(traffic.requests.take(at), traffic.output_tokens[at], state)
            judged = ids[(habits.sums[ids, 0] >= self.least_requests) & habits.new[ids]]
            habits.new[:] = False
            if len(judged):
                rows.append(habits.features(judged, traffic.accounts, now))
                whose.append(judged)
        return np.concatenate(rows), np.concatenate(whose)

    def _grown(self, table: NDArray[np.float32], labels: NDArray[np.bool_]) -> HistGradientBoostingClassifier:
        """Trees, a function of the table alone."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        trees = HistGradientBoostingClassifier(
            max_iter=self.trees, max_leaf_nodes=self.leaves, l2_regularization=1.0, early_stopping=False, random_state=0
        )
        with threadpool_limits(1):
            return trees.fit(table, labels)


def _log_odds(trees: HistGradientBoostingClassifier, table: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(trees.decision_function(table), np.float64)


def _accounts_with(requests: Requests, least: int) -> NDArray[np.int32]:
    """Ids of accounts with at least so many requests, ascending."""
    return np.flatnonzero(np.bincount(requests.account) >= least).astype(np.int32)
