"""The API as a judge: the attacker's student answers, and the answers that the teacher finds most probable are kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from attacks.base import Harvest, HarvestContext, Pool
from attacks.client import Client, Harvested
from attacks.harvest.own_answers import own_answers, own_rows, require_shared
from attacks.harvest.selection import draw, quotas
from configs.errors import require


@dataclass(frozen=True)
class Approved(Harvest):
    """Adaptive: after ordinary answers, the teacher judges what the student says, and the student learns what it approves.

    The student is trained on the ordinary answers and draws ``draws`` answers to each of the prompts that are left. A
    verdict on an answer is (1/T) Σ_t log p_T(y_t), what its T tokens score with the API: the mini teacher only answers
    prompts and cannot be asked which of two answers is better, and of a language model too the score is what its word stands
    for, without the noise of its wording. Of each prompt the answer with the best verdict is kept, and of these, within each
    family, the best ``keep`` (rejection sampling with the teacher as the reward). Each verdict is a query, billed as input.
    What was not kept is no row, nor are ordinary rows dropped.

    Findings: ``answers_judged``, ``answers_kept``.

    Args:
        initial: share of the budget for ordinary answers, in (0, 1).
        draws: answers of a prompt that are judged.
        keep: share of the best that is kept, in (0, 1].
        own_temperature: at which the student answers.
    """

    name: ClassVar[str] = "approved"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "Lee et al. 2023 (RLAIF), arXiv 2309.00267 (a model's verdicts as reward); best of n: Stiennon et al. 2020, "
        "arXiv 2009.01325; verdict by score: MoatBench"
    )
    needs: ClassVar[tuple[str, ...]] = ("prompt_scoring",)
    adaptive: ClassVar[bool] = True
    trains_between: ClassVar[bool] = True

    initial: float = 0.5
    draws: int = 2
    keep: float = 0.5
    own_temperature: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.initial < 1, "initial", self.initial, "must lie between 0 and 1")
        require(self.draws >= 1, "draws", self.draws, "must be at least 1")
        require(0 < self.keep <= 1, "keep", self.keep, "must be more than 0 and at most 1")
        require(self.own_temperature > 0, "own_temperature", self.own_temperature, "must be positive")

    def run(self, client: Client, pool: Pool, context: HarvestContext) -> Harvested:
        """See `Harvest.run`. Raises `ConfigError`, before anything is asked, where the API does not score completions or
        sells no logprobs, teacher and student have different tokenizers, or a family of the pool has too few prompts."""
        sold, total = client.interface, client.remaining
        require(sold.prompt_scoring, "api.prompt_scoring", sold.prompt_scoring, "approved needs an API that sells it")
        require(sold.top_logprobs >= 1, "api.top_logprobs", sold.top_logprobs, "approved needs an API that sells some")
        prompts = (total - max(1, round(self.initial * total))) // self.draws
        first = total - prompts * self.draws
        asked = draw(pool, quotas(pool, first + prompts), context.rng)
        model = context.student()
        require_shared(model, client, [pool.texts[int(i)] for i in asked], self.name)
        ordinary = client.ask(asked[:first])
        if not prompts:
            return replace(ordinary, findings={"answers_judged": 0.0, "answers_kept": 0.0})
        if len(ordinary) and context.fit_rows is not None:
            model = context.fit_rows(own_rows(ordinary, client, model), start=model)
        items = np.repeat(asked[first:], self.draws)
        judged = client.score(items, own_answers(model, items, client, self.own_temperature, context.rng))
        kept = judged.take(best(judged, pool.family[judged.item], self.keep))
        found = {"answers_judged": float(len(judged)), "answers_kept": float(len(kept))}
        return Harvested.concat([ordinary, replace(kept, findings=found)])


def verdicts(judged: Harvested) -> NDArray[np.float64]:
    """(R,) mean log-probability of the tokens of each scored answer, -inf where nothing was told of it."""
    tokens, logprob = judged.responses.tokens, judged.responses.logprob
    assert logprob is not None, "logprobs were asked for"
    told = np.isfinite(logprob)
    total = np.bincount(tokens.row_of_value, np.where(told, logprob, 0.0), len(tokens))
    count = np.bincount(tokens.row_of_value, told, len(tokens))
    return np.where(count > 0, total / np.maximum(count, 1), -np.inf)


def best(judged: Harvested, family: NDArray[np.object_], keep: float) -> NDArray[np.int64]:
    """Rows of the answer to each prompt with the best verdict, and of these the best ``keep`` of each family, at least one;
    in the order in which they were judged. Of equal verdicts the first."""
    verdict = verdicts(judged)
    order = np.lexsort((np.arange(len(judged)), -verdict))
    order = order[np.isfinite(verdict[order])]
    _, first = np.unique(judged.item[order], return_index=True)
    order = order[np.sort(first)]
    kept = [
        mine[: max(1, round(keep * len(mine)))] for mine in (order[family[order] == name] for name in np.unique(family))
    ]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *kept]))
