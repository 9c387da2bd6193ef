"""The attacker's student answers, and the API says how probable each of its tokens was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.base import Harvest, HarvestContext, Pool
from attacks.client import Client, Harvested
from attacks.harvest.own_answers import own_answers, own_rows, require_shared
from attacks.harvest.selection import draw, quotas
from configs.errors import require


@dataclass(frozen=True)
class OnPolicy(Harvest):
    """Adaptive: after ordinary answers, rounds in which the student writes and the teacher scores what it wrote.

    A student that has only seen the teacher's text meets states of its own making when it is used. Here it learns what the
    teacher would have said in them: in each round it is trained on all rows so far, going on from where it was; it answers
    prompts of the pool that were not asked yet; and these answers are scored with the k logprobs a token that the API sells.
    The rows are the teacher's answers and the student's, both with the teacher's logprobs: train on them with an
    objective that matches these (`gkd`, `topk_kl`), since imitating the tokens would teach the student its own mistakes.

    Tools that a prompt may call are run for the student as they are for the teacher. Each answer that is scored counts as a
    query and is billed as input. The student that comes of a harvest is trained anew on all rows.

    Args:
        initial: share of the budget for ordinary answers, in (0, 1].
        rounds: how often the student is trained and its answers are scored; the rest of the budget, split evenly.
        own_temperature: at which the student answers.
    """

    name: ClassVar[str] = "on_policy"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Agarwal et al. 2024 (GKD), ICLR, arXiv 2306.13649, algorithm 1, in rounds"
    needs: ClassVar[tuple[str, ...]] = ("prompt_scoring",)
    adaptive: ClassVar[bool] = True
    trains_between: ClassVar[bool] = True

    initial: float = 0.5
    rounds: int = 2
    own_temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.initial <= 1, "initial", self.initial, "must be more than 0 and at most 1")
        require(self.rounds >= 1, "rounds", self.rounds, "must be at least 1")
        require(self.own_temperature > 0, "own_temperature", self.own_temperature, "must be positive")

    def run(self, client: Client, pool: Pool, context: HarvestContext) -> Harvested:
        """See `Harvest.run`. Raises `ConfigError`, before anything is asked, where the API does not score completions or
        sells no logprobs, teacher and student have different tokenizers, or a family of the pool has too few prompts."""
        sold = client.interface
        require(sold.prompt_scoring, "api.prompt_scoring", sold.prompt_scoring, "on_policy needs an API that sells it")
        require(sold.top_logprobs >= 1, "api.top_logprobs", sold.top_logprobs, "on_policy needs an API that sells some")
        asked = draw(pool, quotas(pool, client.remaining), context.rng)
        model = context.student()
        require_shared(model, client, [pool.texts[int(i)] for i in asked], self.name)
        first = max(1, round(self.initial * len(asked)))
        harvested = client.ask(asked[:first])
        for items in np.array_split(asked[first:], self.rounds):
            if not len(items):
                continue
            if len(harvested) and context.fit_rows is not None:
                model = context.fit_rows(own_rows(harvested, client, model), start=model)
            scored = client.score(items, own_answers(model, items, client, self.own_temperature, context.rng))
            harvested = Harvested.concat([harvested, scored])
        return harvested
