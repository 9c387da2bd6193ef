"""What a defense fits once before the API opens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from attacks.budget import allocate
from configs.errors import ConfigError
from configs.identity import identity
from defenses.base import Defense, Preparation, Traffic, no_traffic, preparation_of
from experiments.campaign.config.population import Population
from experiments.stages.backend import ModelBackend
from experiments.stages.loading import model_of
from experiments.stages.models import BaseStage, TeacherStage
from experiments.stages.past_traffic import benign_traffic, red_team_traffic
from experiments.stages.prompts import TaskTools, draw, shares
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.examples import Examples
from lm.ragged import Ragged
from lm.seeds import derived_seed, generator
from lm.types import Channel
from teacher.api.schema import Params, Prompts, Requests

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class PrepareStage(Stage):
    """Runs `Defense.prepare` with the teacher, a proxy student and clean traces on the provider's own prompts; what judges
    requests also gets past traffic of the honest population."""

    name: ClassVar[str] = "prepare"
    version: ClassVar[int] = 2
    seconds: ClassVar[float] = 4.0

    teacher: TeacherStage
    proxy: BaseStage
    defense: Defense
    max_tokens: int
    seed: int
    population: Population | None = None

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        past = {} if self.population is None else {"population": identity(self.population)}
        return {"defense": preparation_of(self.defense), "max_tokens": self.max_tokens, "seed": self.seed, **past}

    def inputs(self) -> dict[str, Stage]:
        """The teacher and the public model the provider takes as its proxy."""
        return {"teacher": self.teacher, "proxy": self.proxy}

    def run(self, context: Context) -> Artifact:
        """The tensors that the defense prepared."""
        teacher = model_of(self.teacher, context.inputs["teacher"])
        task = self.teacher.task
        preparation = Preparation(
            teacher=teacher,
            proxy=lambda: model_of(self.proxy, context.inputs["proxy"]),
            clean_traces=lambda n: self._clean_traces(n, teacher, context),
            rng=generator(self.seed, self.name),
            benign=self._benign,
            red_team=lambda n: red_team_traffic(task, n, self.max_tokens, derived_seed(self.seed, "red_team")),
        )
        return Artifact(tensors={"prepared": self.defense.prepare(preparation)})

    def _benign(self, count: int) -> Traffic:
        if self.population is None:
            return no_traffic(count)
        return benign_traffic(self.teacher.task, self.population, count, derived_seed(self.seed, "benign"))

    def _clean_traces(self, n: int, teacher: LanguageModel, context: Context) -> Examples:
        task = self.teacher.task
        items = draw(task, "provider", allocate(2 * n, shares(task, {})), derived_seed(self.seed, "provider"))
        prompts = Prompts([i.prompt for i in items], teacher.encode_prompts([i.prompt for i in items]))
        prompts = Prompts(prompts.texts, prompts.tokens, TaskTools(task, items, teacher))
        rows = generator(self.seed, "provider", "order").permutation(len(items))[: n + n // 4]
        count = len(rows)
        requests = Requests(
            np.zeros(count),
            np.zeros(count, np.int32),
            rows,
            prompts.tokens.lengths[rows].astype(np.int32),
            generator(self.seed, "provider", "sampling").integers(0, 2**62, count),
        )
        backend = ModelBackend(teacher, lambda: (), context.store, {"teacher": self.teacher.key, "decode": []})
        drawn = backend.complete(prompts, requests, Params(max_tokens=self.max_tokens))
        texts = teacher.decode(drawn.tokens)
        right = [task.verify(items[int(row)], text).strict for row, text in zip(rows, texts, strict=True)]
        kept = np.flatnonzero(np.array(right) & drawn.finished)[:n]
        if len(kept) == 0:
            raise ConfigError(
                "defense", n, "needs clean traces, but the teacher answered none of its own prompts right"
            )
        at = drawn.tokens.value_index(kept)
        completions = Ragged.with_lengths(drawn.tokens.values[at], drawn.tokens.lengths[kept])
        channel = drawn.channel[at]
        return Examples(
            prompts.tokens.take(rows[kept]),
            completions,
            channel,
            (channel != Channel.TOOL).astype(np.float32),
            np.full(len(kept), -1, np.int64),
            np.zeros(len(kept), bool),
        )
