"""Δ of antidistillation sampling: how much worse a proxy student would do on clean traces if it were trained on a token.

Training on token x moves θ along ∇ log p(x; θ), so the holdout loss ℓ moves by η⟨∇ℓ, ∇ log p(x; θ)⟩, which is the
directional derivative of log p(x; θ) along g = ∇ℓ. A *positive* Δ(x) is a token whose imitation raises the loss (Savani et
al., arXiv 2504.13146). It is taken by central differences, two forward passes of the proxy.

Knows nothing of sampling or of strengths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import log_softmax

from lm.alongside import Alongside
from lm.batch import collate
from lm.batches import length_batches
from lm.directional import both_sides, logits_of, logits_width, padded_batches
from lm.examples import Examples

if TYPE_CHECKING:
    from lm.batch import Batch
    from lm.language_model import LanguageModel


class PerturbedProxy:
    """Two copies of the proxy, at θ ± ε·g, in at least 32 bits: ε·g is far below the resolution of 16-bit weights.

    Args:
        proxy: the student-sized model; its own weights are left as they are.
        direction: g.
        epsilon: ε.

    Attributes:
        pad: the token that fills rows on the left.
        width: how many tokens there are: the first columns of Δ; models may have more, which no text contains.
    """

    def __init__(self, proxy: LanguageModel, direction: Mapping[str, Tensor], epsilon: float) -> None:
        self.epsilon = epsilon
        self.width = min(logits_width(proxy.model), len(proxy.vocab))
        moved = both_sides(proxy, direction, epsilon)
        self._models = tuple(lm.model for lm in moved)
        self._readers = Alongside(*moved)
        self.pad = self._readers.pad

    def next_token(self, input_ids_BT: Tensor, lines: NDArray[np.int64] | None = None) -> Tensor:
        """Δ (b, V) of every possible next token.

        Args:
            input_ids_BT: left-padded with the tokenizer's pad token.
            lines: (b,) the texts that it is wanted of, ascending, at least one; all where None. See `lm.alongside`.
        """
        wanted = np.arange(len(input_ids_BT)) if lines is None else lines
        plus, minus = (log_softmax(logits, dim=-1) for logits in self._readers.logits(input_ids_BT, wanted))
        return (plus - minus) / (2 * self.epsilon)

    @torch.no_grad()
    def every_token(self, batch: Batch) -> Tensor:
        """Δ (B, T, V) at every position of a right-padded batch."""
        plus, minus = (log_softmax(logits_of(model, batch), dim=-1) for model in self._models)
        return (plus - minus) / (2 * self.epsilon)


@torch.no_grad()
def delta_of(perturbed: PerturbedProxy, lm: LanguageModel, rows: Examples) -> NDArray[np.float64]:
    """(N, V) Δ at every completion token of the rows, in their order.

    Args:
        perturbed: gives Δ.
        lm: the proxy, which says how much goes into a batch.
        rows: texts.
    """
    found = np.zeros((len(rows.completions.values), perturbed.width))
    length = rows.prompts.lengths + rows.completions.lengths
    for part in length_batches(length, max(1, min(lm.batch_tokens, 2**25 // logits_width(lm.model)))):
        completions = rows.completions.take(part)
        if len(completions.values):
            delta_BTV = perturbed.every_token(collate(rows, part, perturbed.pad, lm.device))[..., : perturbed.width]
            column = rows.prompts.lengths[part][completions.row_of_value] + completions.position - 1
            at = torch.from_numpy(completions.row_of_value), torch.from_numpy(column)
            found[rows.completions.value_index(part)] = delta_BTV.cpu().double()[at].numpy()
    return found


@torch.no_grad()
def teacher_weighted_sd(teacher: LanguageModel, perturbed: PerturbedProxy, holdout: Examples) -> float:
    """√ of the mean over completion tokens of Var_{x ~ p_T}[Δ(x)].

    Taken within each position, since adding a constant to Δ there changes no sampling distribution.
    """
    variance = weight = 0.0
    for batch in padded_batches(teacher, holdout):
        delta_BTV = perturbed.every_token(batch).to(teacher.device, torch.float32)
        shared = min(perturbed.width, logits_width(teacher.model))
        delta_BTV = delta_BTV[..., :shared]
        p_BTV = logits_of(teacher.model, batch)[..., :shared].float().softmax(-1)
        centred = delta_BTV - (p_BTV * delta_BTV).sum(-1, keepdim=True)
        variance += float(((p_BTV * centred.square()).sum(-1) * batch.weight_BT).sum())
        weight += float(batch.weight_BT.sum())
    return float(np.sqrt(variance / max(weight, 1e-9)))
