"""How far what an API sells of each token is from what the teacher says there: what a defense on probabilities costs the
people who read them, since their accuracy does not move."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from defenses.base import hooks_of
from defenses.release.listing import listing_of
from defenses.release.student_reading import of_ids
from experiments.stages.loading import model_of
from experiments.stages.offer import Offer
from experiments.stages.provider_models import own_items
from experiments.stages.serving import ServingStage
from experiments.store.artifact import Artifact
from experiments.store.stage import Context
from lm.types import Channel
from teacher.api.gateway import MOST_READ
from teacher.api.hooks import HOOKS
from teacher.api.schema import Params, Responses

if TYPE_CHECKING:
    pass

TEXTS = 256
"""Most prompts of the provider's own that are answered; fewer where a vocabulary is large."""
SELLS = "top_logprobs"
"""What a defense needs sold that acts on probabilities."""


def sells_changed(offer: Offer) -> bool:
    """Whether probabilities are sold, and a defense of the stack is there to change them."""
    return offer.interface.top_logprobs > 0 and any(SELLS in defense.needs for defense in offer.defenses.values())


@dataclass(frozen=True)
class SoldStage(ServingStage):
    """Has answers of the teacher scored by the defended API and by one whose defenses leave probabilities alone.

    The texts are the undefended teacher's own answers to prompts of the provider's split at temperature 1, whole; both sides
    score the same ones (so a defense that acts while the teacher samples can be told too), and hide the same parts.
    """

    name: ClassVar[str] = "sold"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 2.0

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {"offer": self.offer.identity(), "texts": TEXTS, "max_tokens": self.max_tokens, "seed": self.seed}

    def run(self, context: Context) -> Artifact:
        """``sold``: a row a text: family, tokens, and `Distance` summed over them. ``l1``, ``top1``: means over tokens."""
        teacher = model_of(self.teacher, context.inputs["teacher"])
        count = max(1, min(TEXTS, MOST_READ // (8 * self.max_tokens * teacher.vocabulary)))
        items = own_items(self.teacher.task, count, teacher, self.seed)
        count = len(items.family)
        whole = replace(self.offer.interface, trace="full", prompt_scoring=True)
        clean = replace(self.offer, interface=whole, defenses={})
        params = Params(max_tokens=self.max_tokens)
        texts = self._answers(clean, teacher, items.prompts, params, context).tokens
        same = replace(self.offer.interface, prompt_scoring=True)
        sold = replace(params, scored=True, top_logprobs=min(same.top_logprobs, teacher.vocabulary))
        kept = {n: d for n, d in self.offer.defenses.items() if _leaves_probabilities(hooks_of(d), d.needs)}
        truth = replace(self.offer, interface=replace(same, top_logprobs=teacher.vocabulary), defenses=kept)
        told = self._answers(replace(self.offer, interface=same), teacher, items.prompts, sold, context, None, texts)
        everything = replace(sold, top_logprobs=teacher.vocabulary)
        true = self._answers(truth, teacher, items.prompts, everything, context, None, texts)
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
