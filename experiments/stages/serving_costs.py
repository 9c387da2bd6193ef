"""What a defense costs while the API serves: forward passes of other models than the teacher, counted on a few texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from experiments.stages.loading import model_of
from experiments.stages.provider_models import own_items
from experiments.stages.serving import ServingStage
from experiments.store.artifact import Artifact
from experiments.store.stage import Context
from lm.passes import counting
from teacher.api.schema import Params

TEXTS = 64
"""Prompts of the provider's own that are answered."""


@dataclass(frozen=True)
class CostStage(ServingStage):
    """Answers some prompts through the defended API, and counts which models run.

    They are drawn anew, whatever raw generations are stored: what is counted is then the same in every store.
    """

    name: ClassVar[str] = "costs"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 1.0

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {"offer": self.offer.identity(), "texts": TEXTS, "max_tokens": self.max_tokens, "seed": self.seed}

    def run(self, context: Context) -> Artifact:
        """No tables. ``extra_passes`` and ``extra_compute`` (`lm.passes.Passes`), the ``tokens`` that they are of, and
        ``hook_seconds``, wall clock of the machine that it ran on: no row may hold it."""
        teacher = model_of(self.teacher, context.inputs["teacher"])
        prompts = own_items(self.teacher.task, TEXTS, teacher, self.seed).prompts
        params = Params(max_tokens=self.max_tokens, top_logprobs=self.offer.interface.top_logprobs)
        with counting() as passes:
            self._answers(self.offer, teacher, prompts, params, context)
        return Artifact(
            meta={
                "extra_passes": passes.extra_per_token,
                "extra_compute": passes.extra_compute,
                "tokens": passes.tokens,
                "hook_seconds": passes.seconds,
            }
        )
