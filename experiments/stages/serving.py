"""A defended API that answers prompts of the provider's own: what stages stand on that look at an API while it serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from experiments.stages.models import BaseStage, TeacherStage
from experiments.stages.offer import SAMPLING, Offer, open_gateway
from experiments.stages.prepare import PrepareStage
from experiments.stages.provider_models import ProviderModels, ProxyStudentStage
from experiments.store.stage import Context, Memos, Stage
from lm.ragged import Ragged
from lm.seeds import derived_seed, generator
from teacher.api.schema import Params, Prompts, Requests, Responses

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

APART = 60.0
"""Virtual seconds between requests; each comes from an account of its own."""


def serving_part(offer: Offer) -> Offer | None:
    """The same API with those of its defenses alone that act while it answers; None where there is none: judging requests
    changes no answer and runs no model."""
    names = {name for hook in (*SAMPLING, "release") for name in offer.acting(hook)}
    kept = {name: defense for name, defense in offer.defenses.items() if name in names}
    return replace(offer, defenses=kept) if kept else None


@dataclass(frozen=True)
class ServingStage(Stage):
    """Base of stages that ask a defended API.

    Args:
        teacher: the model behind the API.
        base: the provider's proxy.
        prepared: preparation stages by defense name, for those that need one.
        offer: interface, prices and the defenses that act while it answers (`serving_part`).
        max_tokens: per response.
        seed: of the cell.
        proxy_student: the provider's own student, where a defense uses it.
    """

    teacher: TeacherStage
    base: BaseStage
    prepared: Mapping[str, PrepareStage]
    offer: Offer
    max_tokens: int
    seed: int
    proxy_student: ProxyStudentStage | None = None

    def inputs(self) -> dict[str, Stage]:
        """The teacher, the provider's other models and prepared defenses."""
        prepared = {f"prepared.{n}": s for n, s in self.prepared.items()}
        return {"teacher": self.teacher, **self._models.inputs(), **prepared}

    @property
    def _models(self) -> ProviderModels:
        return ProviderModels(self.base, self.proxy_student)

    def _answers(
        self,
        offer: Offer,
        teacher: LanguageModel,
        prompts: Prompts,
        params: Params,
        context: Context,
        store: Memos | None = None,
        texts: Ragged | None = None,
    ) -> Responses:
        """One answer of the API to each of the prompts that it admits, or one of ``texts`` for each of them scored; raw
        generations are kept in ``store``."""
        prepared = {name: stage for name, stage in self.prepared.items() if name in offer.defenses}
        gateway = open_gateway(
            offer,
            teacher,
            self.teacher.key,
            self._models.loaded(context.inputs),
            {name: (stage.key, context.inputs[f"prepared.{name}"]) for name, stage in prepared.items()},
            store,
            derived_seed(self.seed, "gateway"),
        )
        count = len(prompts.texts)
        requests = Requests(
            np.arange(count, dtype=np.float64) * APART,
            gateway.accounts.open(count),
            np.arange(count),
            (prompts.tokens.lengths + (0 if texts is None else texts.lengths)).astype(np.int32),
            generator(self.seed, self.name).integers(0, 2**62, count),
        )
        ok = np.flatnonzero(gateway.admit(requests, prompts, params).ok)
        answered = gateway.complete(requests.take(ok), prompts, params, None if texts is None else texts.take(ok))
        return replace(answered, request=ok[answered.request])
