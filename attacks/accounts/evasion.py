"""What an operation can vary to live longer, and how it learns what works: a bandit against the defender.

Knows nothing of what the defender does; it sees accounts that live and accounts that do not.
"""

from __future__ import annotations

import itertools
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from attacks.accounts.operation import Operation


class Arm(NamedTuple):
    """A way of using an account.

    Args:
        templates: wordings per capability.
        pacing: see `Operation.pacing`.
        share: see `Operation.share`.
        provider: number of the provider.
    """

    templates: int
    pacing: str
    share: float
    provider: int


class Evasion:
    """Thompson sampling over arms, on how long accounts live (Chapelle & Li, NeurIPS 2011; exponential lifetimes with a
    Gamma prior on the hazard).

    An arm is worth the exchanges that an account makes before it is lost: share × expected days, the days bounded by what is
    left of the operation. Until the probe budget is spent, arms are tried in turn.

    Args:
        operation: gives the arm that it has without looking for others.
        providers: how many there are.
        rng: explicit.
    """

    TEMPLATES: ClassVar[tuple[int, ...]] = (1, 30, 1000)
    SHARES: ClassVar[tuple[float, ...]] = (0.1, 0.25, 1.0)
    PACINGS: ClassVar[tuple[str, ...]] = ("poisson", "diurnal", "scheduler")

    def __init__(self, operation: Operation, providers: int, rng: np.random.Generator) -> None:
        own = Arm(operation.templates, operation.pacing, operation.share, 0)
        reach = range(providers) if operation.displacement else (0,)
        ways = [(own.templates, own.pacing, own.share)]
        if operation.evasion:
            ways += [w for w in itertools.product(self.TEMPLATES, self.PACINGS, self.SHARES) if w != ways[0]]
        self.arms = [Arm(*way, provider) for provider in reach for way in ways]
        self._ways = len(ways)
        self._operation, self._rng = operation, rng
        self.lost = np.zeros(len(self.arms))
        self.days = np.zeros(len(self.arms))
        self.probed = 0

    def choose(self, count: int, at: NDArray[np.integer], days_left: float, replaces: bool) -> NDArray[np.int64]:
        """(count,) arms for new accounts.

        Args:
            count: how many.
            at: (count,) provider at which each would be opened without displacement.
            days_left: of the operation.
            replaces: whether they replace lost ones, which is when accounts are displaced.
        """
        hazard = self._rng.gamma(1.0 + self.lost, 1.0 / (2.0 + self.days), (count, len(self.arms)))
        share = np.array([arm.share for arm in self.arms])
        life = -np.expm1(-hazard * days_left) / hazard
        worth: NDArray[np.float64] = life * share if self._operation.evasion else life
        provider = np.array([arm.provider for arm in self.arms])
        moves = self._rng.random(count) < (self._operation.displacement if replaces else 0.0)
        if self._operation.evasion and self.probed < self._operation.probe_budget:
            worth = self._rng.random(worth.shape)
        reachable = moves[:, None] | (provider[None] == at[:, None])
        return np.asarray(np.where(reachable, worth, -np.inf).argmax(1), np.int64)

    def learn(self, arm: NDArray[np.integer], lost: NDArray[np.bool_], days: float, requests: int) -> None:
        """After an epoch: which arms the accounts that were in use had, which of them are lost, how long it was."""
        self.days += days * np.bincount(arm, minlength=len(self.arms))
        self.lost += np.bincount(arm[lost], minlength=len(self.arms))
        if self._operation.evasion:
            self.probed += requests
