"""Δ of antidistillation sampling: how much worse a proxy student would do on clean traces if it were trained on a token.

Training on token x moves θ along ∇ log p(x; θ), so the holdout loss ℓ moves by η⟨∇ℓ, ∇ log p(x; θ)⟩, which is the
directional derivative of log p(x; θ) along g = ∇ℓ. A *positive* Δ(x) is a token whose imitation raises the loss (Savani et
al., arXiv 2504.13146). It is taken by central differences, two forward passes of the proxy.

Knows nothing of sampling or of strengths.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from lm.alongside import Alongside
from lm.batch import collate
from lm.examples import Examples

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from lm.batch import Batch
    from lm.language_model import LanguageModel

Direction = dict[str, Tensor]
"""A vector in the space of a model's parameters, by parameter name."""


def holdout_gradient(proxy: LanguageModel, holdout: Examples) -> Direction:
    """g / ‖g‖ with g = ∇_θ of the proxy's mean negative log-likelihood of the holdout's completion tokens.

    Args:
        proxy: the student-sized model; its own weights are left as they are.
        holdout: clean traces; tokens count with their ``weight``.

    Raises:
        ValueError: the gradient is zero or not finite.
    """
    model = _full_precision(proxy.model).requires_grad_(True)
    names, parameters = zip(*model.named_parameters(), strict=True)
    total = [torch.zeros_like(p) for p in parameters]
    for batch in _batches(proxy, holdout):
        loss_BT = cross_entropy(_logits(model, batch).transpose(1, 2), batch.target_BT, reduction="none")
        gradients = torch.autograd.grad((loss_BT * batch.weight_BT).sum(), parameters, allow_unused=True)
        for sum_, gradient in zip(total, gradients, strict=True):
            if gradient is not None:
                sum_ += gradient
    norm = torch.stack([g.double().square().sum() for g in total]).sum().sqrt()
    if not (torch.isfinite(norm) and norm > 0):
        raise ValueError(f"the proxy's holdout gradient has norm {norm.item()}")
    return {name: g / norm.to(g.dtype) for name, g in zip(names, total, strict=True)}


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
        plus, minus = (log_softmax(_logits(model, batch), dim=-1) for model in self._models)
        return (plus - minus) / (2 * self.epsilon)


@torch.no_grad()
def teacher_weighted_sd(teacher: LanguageModel, perturbed: PerturbedProxy, holdout: Examples) -> float:
    """√ of the mean over completion tokens of Var_{x ~ p_T}[Δ(x)].

    Taken within each position, since adding a constant to Δ there changes no sampling distribution.
    """
    variance = weight = 0.0
    for batch in _batches(teacher, holdout):
        delta_BTV = perturbed.every_token(batch).to(teacher.device, torch.float32)
        shared = min(perturbed.width, logits_width(teacher.model))
        delta_BTV = delta_BTV[..., :shared]
        p_BTV = _logits(teacher.model, batch)[..., :shared].float().softmax(-1)
        centred = delta_BTV - (p_BTV * delta_BTV).sum(-1, keepdim=True)
        variance += float(((p_BTV * centred.square()).sum(-1) * batch.weight_BT).sum())
        weight += float(batch.weight_BT.sum())
    return float(np.sqrt(variance / max(weight, 1e-9)))


def both_sides(
    proxy: LanguageModel, direction: Mapping[str, Tensor], epsilon: float
) -> tuple[LanguageModel, LanguageModel]:
    """Copies of the proxy at θ + ε·g and θ − ε·g."""
    plus, minus = (proxy.with_model(_moved(proxy.model, direction, sign * epsilon)) for sign in (1, -1))
    return plus, minus


def logits_width(model: PreTrainedModel) -> int:
    """V of the model's logits, which may exceed the tokenizer's vocabulary by padding rows."""
    return int(model.get_output_embeddings().weight.shape[0])


def _full_precision(model: PreTrainedModel) -> PreTrainedModel:
    """A copy in evaluation mode, in 32 bits unless it has more."""
    twin = copy.deepcopy(model).eval()
    return twin if next(twin.parameters()).dtype == torch.float64 else twin.float()


@torch.no_grad()
def _moved(model: PreTrainedModel, direction: Mapping[str, Tensor], step: float) -> PreTrainedModel:
    twin = _full_precision(model).requires_grad_(False)
    for name, parameter in twin.named_parameters():
        parameter.add_(direction[name].to(parameter), alpha=step)
    return twin


def _logits(model: PreTrainedModel, batch: Batch) -> Tensor:
    """(B, T, V) on the model's own device."""
    device = next(model.parameters()).device
    logits: Tensor = model(
        input_ids=batch.input_BT.to(device), attention_mask=batch.mask_BT.to(device), use_cache=False
    ).logits
    return logits


def _batches(lm: LanguageModel, rows: Examples) -> Iterator[Batch]:
    """Right-padded batches of about ``lm.batch_tokens`` tokens and no more than 2^25 logits."""
    length = rows.prompts.lengths + rows.completions.lengths
    most = min(lm.batch_tokens, max(1, 2**25 // logits_width(lm.model)))
    size = max(1, most // max(1, int(length.max(initial=1))))
    order: NDArray[np.int64] = np.argsort(length, kind="stable")
    pad = lm.tokenizer.pad_token_id if lm.tokenizer.pad_token_id is not None else lm.tokenizer.eos_token_id
    for start in range(0, len(order), size):
        yield collate(rows, order[start : start + size], pad, lm.device)
