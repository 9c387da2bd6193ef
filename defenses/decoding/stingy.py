"""A stingy teacher: sparse distributions, in what is said and in what is sold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from configs.ranges import at_least
from defenses.base import Defense, ReleaseContext, RequestFacts, Serving
from defenses.strength import Strength
from lm.later import torch
from teacher.api.schema import Responses

if TYPE_CHECKING:
    from torch import Tensor

    from lm.types import Processor

NEVER = -1e9
"""Log-probability of a token that is left out; finite, so that nothing becomes NaN."""


@dataclass(frozen=True)
class Stingy(Defense):
    """Keeps the k most probable tokens and leaves out all others, in sampling and in the sold logprobs alike.

    "Zero" is meant of probabilities, as in the authors' code: those beyond the k largest are set to 0 and the k that remain
    are renormalised; logits of 0 would still have mass. So y' = y / Σ_{top k} y on the k tokens, and what is listed is at
    most k long. The most probable token stays it, and greedy text is as before. Of equal ones, which are kept is torch's
    choice.

    Args:
        k: tokens kept, at least 1; the whole vocabulary changes nothing.
    """

    name: ClassVar[str] = "stingy"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Ma et al., Stingy Teacher: sparse logits suffice to fail knowledge distillation, 2022"
    checked: ClassVar[str] = "sorting"
    uses: ClassVar[tuple[str, ...]] = ()
    strength: ClassVar[Strength | None] = Strength("k", 1_000_000, 1, log=True)

    k: int

    def __post_init__(self) -> None:
        at_least(self, 1, "k")

    def decode(self, serving: Serving, asked: RequestFacts) -> Processor | None:
        """The processor; None where there are no more tokens than k."""
        return None if self.k >= serving.teacher.vocabulary else _Sparse(self.k)

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Tokens that were left out are not listed."""
        if responses.top_ids is None or responses.top_logprobs is None:
            return responses
        kept = responses.top_logprobs > NEVER / 2
        if kept[responses.top_ids >= 0].all():
            return responses
        ids = np.where(kept, responses.top_ids, np.int32(-1))
        return replace(responses, top_ids=ids, top_logprobs=np.where(kept, responses.top_logprobs, np.float32(-np.inf)))


class _Sparse:
    def __init__(self, k: int) -> None:
        self.k = k

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        top = torch.topk(scores, self.k, dim=1)
        sparse = torch.full_like(scores, NEVER)
        return sparse.scatter_(1, top.indices, top.values)
