"""Active harvests: rounds of asking where models that were trained on the answers so far know least. What knowing least
means is each harvest's own."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from attacks.base import Harvest, HarvestContext, Pool
from attacks.client import Client, Harvested
from attacks.harvest.selection import draw, quotas
from configs.errors import require


@dataclass(frozen=True)
class Active(Harvest):
    """Asks at random first, then in rounds what scores highest (`unsure`), until the budget is spent.

    Scores are compared within a family only: what a family gets of the budget stays the attacker's mix. Asking differs from
    `Random` only as far as the pool (data budget) exceeds the query budget; where a round would take every prompt left,
    nothing is trained to choose. Two active harvests with the same fields ask the same at random first, and differ in their
    scores alone.

    Args:
        initial: share of the budget asked at random first, in (0, 1).
        rounds: how often is trained and asked again; the rest of the budget is split evenly among them.
        candidates: prompts scored per prompt asked, drawn at random from those left; bounds the cost on large pools.
        max_tokens: most tokens T of a greedy answer that are looked at; 1 is the first token only.
    """

    adaptive: ClassVar[bool] = True
    trains_between: ClassVar[bool] = True

    initial: float = 0.4
    rounds: int = 2
    candidates: int = 4
    max_tokens: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.initial < 1, "initial", self.initial, "must lie between 0 and 1")
        require(self.rounds >= 1, "rounds", self.rounds, "must be at least 1")
        require(self.candidates >= 1, "candidates", self.candidates, "must be at least 1")
        require(self.max_tokens >= 1, "max_tokens", self.max_tokens, "must be at least 1")

    @abstractmethod
    def unsure(self, texts: list[str], harvested: Harvested, context: HarvestContext) -> NDArray[np.float64]:
        """(R,) how much is to be learnt from the answer to each prompt, given what was answered so far."""

    def run(self, client: Client, pool: Pool, context: HarvestContext) -> Harvested:
        """See `Harvest.run`. Raises `ConfigError` where a family of the pool has too few prompts for the budget."""
        final = quotas(pool, client.remaining)
        asked = draw(pool, _by_then(final, self.initial), context.rng)
        harvested = client.ask(asked)
        for done in range(1, self.rounds + 1):
            if client.remaining <= 0:
                break
            goal = _by_then(final, self.initial + (1 - self.initial) * done / self.rounds)
            items = self._next(pool, goal, asked, harvested, context)[: client.remaining]
            if len(items) == 0:
                continue
            asked = np.concatenate([asked, items])
            harvested = Harvested.concat([harvested, client.ask(items)])
        return harvested

    def _next(
        self, pool: Pool, goal: dict[str, int], asked: NDArray[np.int64], harvested: Harvested, context: HarvestContext
    ) -> NDArray[np.int64]:
        """The prompts of the next round, in random order."""
        left = np.ones(len(pool), np.bool_)
        left[asked] = False
        want: dict[str, int] = {}
        parts: dict[str, NDArray[np.int64]] = {}
        for family, count in goal.items():
            want[family] = count - int((pool.family[asked] == family).sum())
            unasked = np.flatnonzero(left & (pool.family == family))
            size = min(len(unasked), want[family] * self.candidates)
            parts[family] = context.rng.choice(unasked, size, replace=False)
        if all(len(parts[family]) == want[family] for family in want):
            return context.rng.permutation(np.concatenate(list(parts.values())))
        candidates = np.concatenate(list(parts.values()))
        score = self.unsure([pool.texts[int(i)] for i in candidates], harvested, context)
        chosen, start = [], 0
        for family, part in parts.items():
            order = np.argsort(-score[start : start + len(part)], kind="stable")
            chosen.append(part[order[: want[family]]])
            start += len(part)
        return context.rng.permutation(np.concatenate(chosen))


def _by_then(final: dict[str, int], share: float) -> dict[str, int]:
    """How much of each family's quota is asked once ``share`` of the budget is spent; rounds never take back."""
    return {family: int(np.floor(count * share + 0.5)) for family, count in final.items()}
