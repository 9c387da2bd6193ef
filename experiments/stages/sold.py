"""How far what an API sells of each token is from what the teacher says there: what a defense on probabilities costs the
people who read them, since their accuracy does not move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from defenses.base import hooks_of
from defenses.release.listing import listing_of
from defenses.release.student_reading import of_ids
from experiments.stages.loading import model_of
from experiments.stages.models import BaseStage, TeacherStage
from experiments.stages.offer import Offer, open_gateway
from experiments.stages.prepare import PrepareStage
from experiments.stages.provider_models import ProviderModels, ProxyStudentStage, own_items
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.ragged import Ragged
from lm.seeds import derived_seed, generator
from lm.types import Channel
from teacher.api.gateway import MOST_READ, Gateway
from teacher.api.hooks import HOOKS
from teacher.api.schema import Params, Prompts, Requests, Responses

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

TEXTS = 256
"""Most prompts of the provider's own that are answered; fewer where a vocabulary is large."""
APART = 60.0
"""Virtual seconds between them; each comes from an account of its own."""
SELLS = "top_logprobs"
"""What a defense needs sold that acts on probabilities."""


def sells_changed(offer: Offer) -> bool:
    """Whether probabilities are sold, and a defense of the stack is there to change them."""
    return offer.interface.top_logprobs > 0 and any(SELLS in defense.needs for defense in offer.defenses.values())


@dataclass(frozen=True)
class SoldStage(Stage):
    """Has answers of the teacher scored by the defended API and by one whose defenses leave probabilities alone.

    The texts are the undefended teacher's own answers to prompts of the provider's split at temperature 1, whole; both sides
    score the same ones (so a defense that acts while the teacher samples can be told too), and hide the same parts.

    Args:
        teacher: the model behind the API.
        base: the provider's proxy.
        prepared: preparation stages by defense name, for those that need one.
        offer: interface, prices and the defenses that act while it answers (`serving_costs.serving_part`).
        max_tokens: per response.
        seed: of the cell.
        proxy_student: the provider's own student, where a defense uses it.
    """

    name: ClassVar[str] = "sold"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 2.0

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
        """``sold``: a row a text: family, tokens, and `Distance` summed over them. ``l1``, ``top1``: means over tokens."""
        teacher = model_of(self.teacher, context.inputs["teacher"])
        count = max(1, min(TEXTS, MOST_READ // (8 * self.max_tokens * teacher.vocabulary)))
        items = own_items(self.teacher.task, count, teacher, self.seed)
        whole = replace(self.offer.interface, trace="full", prompt_scoring=True)
        clean = replace(self.offer, interface=whole, defenses={})
        params = Params(max_tokens=self.max_tokens)
        texts = self._asked(clean, teacher, items.prompts, params, None, context).tokens
        same = replace(self.offer.interface, prompt_scoring=True)
        sold = replace(params, scored=True, top_logprobs=min(same.top_logprobs, teacher.vocabulary))
        kept = {n: d for n, d in self.offer.defenses.items() if _leaves_probabilities(hooks_of(d), d.needs)}
        truth = replace(self.offer, interface=replace(same, top_logprobs=teacher.vocabulary), defenses=kept)
        told = self._asked(replace(self.offer, interface=same), teacher, items.prompts, sold, texts, context)
        true = self._asked(
            truth, teacher, items.prompts, replace(sold, top_logprobs=teacher.vocabulary), texts, context
        )
        distance, drawn = distances(told, true), told.channel != Channel.TOOL
        row = told.request[told.tokens.row_of_value[drawn]]
        table = pl.DataFrame(
            {
                "family": items.family[np.arange(count)].tolist(),
                "tokens": np.bincount(row, minlength=count),
                "l1": np.bincount(row, distance.l1[drawn], count),
                "top1": np.bincount(row, distance.top1[drawn], count),
            }
        )
        total = max(int(table["tokens"].sum()), 1)
        return Artifact(
            tables={"sold": table}, meta={name: float(table[name].sum()) / total for name in Distance._fields}
        )

    def _asked(
        self,
        offer: Offer,
        teacher: LanguageModel,
        prompts: Prompts,
        params: Params,
        texts: Ragged | None,
        context: Context,
    ) -> Responses:
        """Answers to all prompts, or ``texts`` scored, through a gateway of their own."""
        prepared = {
            name: (stage.key, context.inputs[f"prepared.{name}"])
            for name, stage in self.prepared.items()
            if name in offer.defenses
        }
        gateway = open_gateway(
            offer,
            teacher,
            self.teacher.key,
            self._models.loaded(context.inputs),
            prepared,
            None,
            derived_seed(self.seed, "gateway"),
        )
        requests = _requests(gateway, prompts, self.seed, texts)
        assert gateway.admit(requests, prompts, params).ok.all(), "nothing here judges requests"
        return gateway.complete(requests, prompts, params, texts)


class Distance(NamedTuple):
    """What is sold of N tokens against the truth.

    Args:
        l1: (N,) Σ|y' − y| over the tokens told, and one class for all others.
        top1: (N,) whether the first token listed is the truly most probable one; false where none is listed.
    """

    l1: NDArray[np.float64]
    top1: NDArray[np.bool_]


def distances(told: Responses, true: Responses) -> Distance:
    """How far responses are from the same ones with the teacher's own, whole distributions."""
    assert np.array_equal(told.tokens.values, true.tokens.values), "the same texts"
    assert true.top_ids is not None
    assert true.top_logprobs is not None
    size = len(true.top_ids), max(int(true.top_ids.max(initial=0)) + 1, 1)
    whole = np.zeros(size)
    rows, columns = np.nonzero(true.top_ids >= 0)
    whole[rows, true.top_ids[rows, columns]] = np.exp(true.top_logprobs[rows, columns].astype(np.float64))
    listing = listing_of(told)
    own = of_ids(whole, listing.ids)
    beyond = np.abs(listing.rest - np.clip(1 - own.sum(1), 0, None))
    listed = told.top_ids is not None and told.top_ids.shape[1] > 0
    first = told.top_ids[:, 0] if listed and told.top_ids is not None else np.full(size[0], -1)
    return Distance(np.abs(listing.probs - own).sum(1) + beyond, (first >= 0) & (first == true.top_ids[:, 0]))


def _leaves_probabilities(hooks: tuple[str, ...], needs: tuple[str, ...]) -> bool:
    return set(hooks) & set(HOOKS) == {"release"} and SELLS not in needs


def _requests(gateway: Gateway, prompts: Prompts, seed: int, texts: Ragged | None) -> Requests:
    count = len(prompts.texts)
    lengths = prompts.tokens.lengths + (0 if texts is None else texts.lengths)
    return Requests(
        np.arange(count, dtype=np.float64) * APART,
        gateway.accounts.open(count),
        np.arange(count),
        lengths.astype(np.int32),
        generator(seed, SoldStage.name).integers(0, 2**62, count),
    )
