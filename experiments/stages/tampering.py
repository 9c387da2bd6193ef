"""Whether a reader can see that a defense was at work: defended answers against clean ones to the same prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from experiments.measure.detectable import detectability
from experiments.stages.loading import model_of
from experiments.stages.provider_models import own_items
from experiments.stages.serving import ServingStage
from experiments.store.artifact import Artifact
from experiments.store.stage import Context
from lm.ragged import Ragged
from lm.seeds import generator
from lm.types import Channel
from teacher.api.schema import Params, Responses

TEXTS = 400
"""Prompts of the provider's own that are answered twice."""


@dataclass(frozen=True)
class TamperingStage(ServingStage):
    """Answers prompts with the defenses and without, from equal seeds, and lets a classifier tell the traces apart.

    Args:
        temperature: that is asked for.
    """

    name: ClassVar[str] = "tampering"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 6.0

    temperature: float = 1.0

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        asked = {"texts": TEXTS, "temperature": self.temperature, "max_tokens": self.max_tokens}
        return {"offer": self.offer.identity(), **asked, "seed": self.seed}

    def run(self, context: Context) -> Artifact:
        """``tampering``: `detectability` of the traces that are shown; None where hardly any is."""
        teacher = model_of(self.teacher, context.inputs["teacher"])
        prompts = own_items(self.teacher.task, TEXTS, teacher, self.seed).prompts
        params = Params(self.temperature, self.max_tokens)
        clean, defended = (
            self._answers(offer, teacher, prompts, params, context, context.store)
            for offer in (replace(self.offer, defenses={}), self.offer)
        )
        both, at, among = np.intersect1d(clean.request, defended.request, return_indices=True)
        found = detectability(_traces(clean, at), _traces(defended, among), generator(self.seed, self.name, "folds"))
        return Artifact(meta={"tampering": found, "texts": len(both)})


def _traces(responses: Responses, rows: NDArray[np.int64]) -> Ragged:
    """What is shown of the working of these responses."""
    return responses.tokens.keep(responses.channel == Channel.TRACE).take(rows)
