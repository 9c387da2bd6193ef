"""What a defense costs while the API serves: forward passes of other models than the teacher, counted on a few texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from experiments.stages.loading import model_of
from experiments.stages.models import BaseStage, TeacherStage
from experiments.stages.offer import SAMPLING, Offer, open_gateway
from experiments.stages.prepare import PrepareStage
from experiments.stages.provider_models import ProviderModels, ProxyStudentStage, own_items
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.passes import counting
from lm.seeds import derived_seed, generator
from teacher.api.schema import Params, Requests

TEXTS = 64
"""Prompts of the provider's own that are answered."""
APART = 60.0
"""Virtual seconds between them; each comes from an account of its own."""


def serving_part(offer: Offer) -> Offer | None:
    """The same API with those of its defenses alone that act while it answers; None where there is none: judging requests
    runs no model."""
    names = {name for hook in (*SAMPLING, "release") for name in offer.acting(hook)}
    kept = {name: defense for name, defense in offer.defenses.items() if name in names}
    return replace(offer, defenses=kept) if kept else None


@dataclass(frozen=True)
class CostStage(Stage):
    """Answers some prompts through the defended API, and counts which models run.

    They are drawn anew, whatever raw generations are stored: what is counted is then the same in every store.

    Args:
        teacher: the model behind the API.
        base: the provider's proxy.
        prepared: preparation stages by defense name, for those that need one.
        offer: interface, prices and the defenses that act while it answers (`serving_part`).
        max_tokens: per response.
        seed: of the cell.
        proxy_student: the provider's own student, where a defense uses it.
    """

    name: ClassVar[str] = "costs"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 1.0

    teacher: TeacherStage
    base: BaseStage
    prepared: Mapping[str, PrepareStage]
    offer: Offer
    max_tokens: int
    seed: int
    proxy_student: ProxyStudentStage | None = None

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {"offer": self.offer.identity(), "texts": TEXTS, "max_tokens": self.max_tokens, "seed": self.seed}

    def inputs(self) -> dict[str, Stage]:
        """The teacher, the provider's other models and prepared defenses."""
        prepared = {f"prepared.{n}": s for n, s in self.prepared.items()}
        return {"teacher": self.teacher, **self._models.inputs(), **prepared}

    @property
    def _models(self) -> ProviderModels:
        return ProviderModels(self.base, self.proxy_student)

    def run(self, context: Context) -> Artifact:
        """No tables. ``extra_passes`` and ``extra_compute`` (`lm.passes.Passes`), the ``tokens`` that they are of, and
        ``hook_seconds``, wall clock of the machine that it ran on: no row may hold it."""
        teacher = model_of(self.teacher, context.inputs["teacher"])
        prompts = own_items(self.teacher.task, TEXTS, teacher, self.seed).prompts
        gateway = open_gateway(
            self.offer,
            teacher,
            self.teacher.key,
            self._models.loaded(context.inputs),
            {name: (stage.key, context.inputs[f"prepared.{name}"]) for name, stage in self.prepared.items()},
            None,
            derived_seed(self.seed, "gateway"),
        )
        count = len(prompts.texts)
        requests = Requests(
            np.arange(count, dtype=np.float64) * APART,
            gateway.accounts.open(count),
            np.arange(count),
            prompts.tokens.lengths.astype(np.int32),
            generator(self.seed, self.name).integers(0, 2**62, count),
        )
        params = Params(max_tokens=self.max_tokens, top_logprobs=self.offer.interface.top_logprobs)
        admitted = requests.where(gateway.admit(requests, prompts, params).ok)
        with counting() as passes:
            gateway.complete(admitted, prompts, params)
        return Artifact(
            meta={
                "extra_passes": passes.extra_per_token,
                "extra_compute": passes.extra_compute,
                "tokens": passes.tokens,
                "hook_seconds": passes.seconds,
            }
        )
