"""The direction in which a model's loss on held-out rows grows, and copies of the model a little to both sides along it: by
them the derivative of anything that the model computes is had from two forward passes.

Knows neither whose model it is nor what the derivative is for.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from lm.batch import collate
from lm.examples import Examples

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from lm.batch import Batch
    from lm.language_model import LanguageModel

Direction = dict[str, Tensor]
"""A vector in the space of a model's parameters, by parameter name."""


def holdout_gradient(lm: LanguageModel, holdout: Examples) -> Direction:
    """g / ‖g‖ with g = ∇_θ of the model's mean negative log-likelihood of the holdout's completion tokens.

    Args:
        lm: whose loss it is; its own weights are left as they are.
        holdout: rows; tokens count with their ``weight``.

    Raises:
        ValueError: the gradient is zero or not finite.
    """
    model = _full_precision(lm.model).requires_grad_(True)
    names, parameters = zip(*model.named_parameters(), strict=True)
    total = [torch.zeros_like(p) for p in parameters]
    for batch in padded_batches(lm, holdout):
        loss_BT = cross_entropy(logits_of(model, batch).transpose(1, 2), batch.target_BT, reduction="none")
        gradients = torch.autograd.grad((loss_BT * batch.weight_BT).sum(), parameters, allow_unused=True)
        for sum_, gradient in zip(total, gradients, strict=True):
            if gradient is not None:
                sum_ += gradient
    norm = torch.stack([g.double().square().sum() for g in total]).sum().sqrt()
    if not (torch.isfinite(norm) and norm > 0):
        raise ValueError(f"the holdout gradient has norm {norm.item()}")
    return {name: g / norm.to(g.dtype) for name, g in zip(names, total, strict=True)}


def both_sides(
    lm: LanguageModel, direction: Mapping[str, Tensor], epsilon: float
) -> tuple[LanguageModel, LanguageModel]:
    """Copies of the model at θ + ε·g and θ − ε·g, in at least 32 bits: ε·g is far below the resolution of 16-bit weights."""
    plus, minus = (lm.with_model(_moved(lm.model, direction, sign * epsilon)) for sign in (1, -1))
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


def logits_of(model: PreTrainedModel, batch: Batch) -> Tensor:
    """(B, T, V) on the model's own device."""
    device = next(model.parameters()).device
    logits: Tensor = model(
        input_ids=batch.input_BT.to(device), attention_mask=batch.mask_BT.to(device), use_cache=False
    ).logits
    return logits


def padded_batches(lm: LanguageModel, rows: Examples) -> Iterator[Batch]:
    """Right-padded batches of about ``lm.batch_tokens`` tokens and no more than 2^25 logits."""
    length = rows.prompts.lengths + rows.completions.lengths
    most = min(lm.batch_tokens, max(1, 2**25 // logits_width(lm.model)))
    size = max(1, most // max(1, int(length.max(initial=1))))
    order: NDArray[np.int64] = np.argsort(length, kind="stable")
    pad = lm.tokenizer.pad_token_id if lm.tokenizer.pad_token_id is not None else lm.tokenizer.eos_token_id
    for start in range(0, len(order), size):
        yield collate(rows, order[start : start + size], pad, lm.device)
