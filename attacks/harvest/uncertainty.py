"""Active harvest: ask where the attacker's own student is unsure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from attacks.base import Harvest, HarvestContext, Pool
from attacks.client import Client, Harvested
from attacks.harvest.selection import draw, quotas
from configs.errors import ConfigError, require
from lm.types import Sampling

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

Measure = Literal["entropy", "least_confidence"]
MEASURES = ("entropy", "least_confidence")


@dataclass(frozen=True)
class Uncertainty(Harvest):
    """Adaptive: trains a student on what it has, asks next where that student is least sure, until the budget is spent.

    ActiveThief's uncertainty strategy, carried from one softmax per input to sequences: the student answers each
    candidate greedily, y_1 … y_T (its end of sequence included, tools not run), and with q_t its next-token
    distribution at τ = 1 after y_1 … y_{t-1} the candidate scores

    - ``entropy``: (1/T) Σ_t H(q_t), nats; at T = 1 the paper's H(ỹ) = −Σ_j ỹ_j log ỹ_j;
    - ``least_confidence``: −(1/T) Σ_t log q_t(y_t).

    The mean over tokens keeps long answers from winning by length. Scores are compared within a family only: what a
    family gets of the budget stays the attacker's mix. Asking differs from `Random` only as far as the pool (data
    budget) exceeds the query budget; where a round would take every prompt left, nothing is trained to choose.

    Args:
        initial: share of the budget asked at random first, in (0, 1).
        rounds: how often the student is trained and asked again; the rest of the budget is split evenly among them.
        measure: how unsure, see above.
        candidates: prompts scored per prompt asked, drawn at random from those left; bounds the cost on large pools.
        max_tokens: most tokens T of a greedy answer that are looked at; 1 is the first token only.
    """

    name: ClassVar[str] = "uncertainty"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Pal et al. 2020 (ActiveThief), AAAI 34(01); token mean: Settles & Craven 2008"
    adaptive: ClassVar[bool] = True
    trains_between: ClassVar[bool] = True
    tunes: ClassVar[Mapping[str, tuple[Any, ...]]] = {"measure": MEASURES}

    initial: float = 0.4
    rounds: int = 2
    measure: Measure = "entropy"
    candidates: int = 4
    max_tokens: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.initial < 1, "initial", self.initial, "must lie between 0 and 1")
        require(self.rounds >= 1, "rounds", self.rounds, "must be at least 1")
        require(self.candidates >= 1, "candidates", self.candidates, "must be at least 1")
        require(self.max_tokens >= 1, "max_tokens", self.max_tokens, "must be at least 1")
        if self.measure not in MEASURES:
            raise ConfigError("measure", self.measure, "is not a measure of uncertainty", MEASURES)

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
        student = context.fit(harvested) if len(harvested) else context.student()
        candidates = np.concatenate(list(parts.values()))
        score = uncertainty(student, [pool.texts[int(i)] for i in candidates], self.measure, self.max_tokens)
        chosen, start = [], 0
        for family, part in parts.items():
            order = np.argsort(-score[start : start + len(part)], kind="stable")
            chosen.append(part[order[: want[family]]])
            start += len(part)
        return context.rng.permutation(np.concatenate(chosen))


def uncertainty(student: LanguageModel, texts: list[str], measure: Measure, max_tokens: int) -> NDArray[np.float64]:
    """(R,) how unsure the student is of each prompt, nats a token; see `Uncertainty` for the measures."""
    prompts = student.encode_prompts(texts)
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens)
    answers = student.generate(prompts, sampling, np.zeros(len(texts), np.int64)).tokens
    scores = student.score(prompts, answers)
    value = scores.entropy if measure == "entropy" else -scores.logprob
    total = np.bincount(answers.row_of_value, value.astype(np.float64), minlength=len(texts))
    return total / np.maximum(answers.lengths, 1)


def _by_then(final: dict[str, int], share: float) -> dict[str, int]:
    """How much of each family's quota is asked once ``share`` of the budget is spent; rounds never take back."""
    return {family: int(np.floor(count * share + 0.5)) for family, count in final.items()}
