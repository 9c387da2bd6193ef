"""Cross-entropy of logits in half precision, in slices: a float32 copy of all of them, its logarithms and their gradient
would be three of the largest arrays of a fit, and making room for them takes longer than computing them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

SLICE = 2**20
"""Logits that are float32 at a time; 4 MB stay in a core's cache."""


def cross_entropies(logits: Tensor, target: Tensor) -> Tensor:
    """−log softmax of each target in float32; of float32 logits PyTorch's own function.

    The same in half precision up to the order of a sum: logits become float32 before anything is computed, and the gradient
    is rounded to half precision once, as that of a conversion is.

    Args:
        logits: (N, V) or (B, T, V).
        target: (N,) or (B, T).
    """
    if logits.dtype == torch.float32:
        classes_second = logits if logits.ndim == 2 else logits.transpose(1, 2)
        return torch.nn.functional.cross_entropy(classes_second, target, reduction="none")
    found: Tensor = _Sliced.apply(logits.flatten(0, -2), target.flatten())
    return found.view_as(target)


class _Sliced(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits_NV: Tensor, target_N: Tensor) -> Tensor:
        parts = logits_NV.split(_rows(logits_NV))
        total_N = torch.cat([part.float().logsumexp(-1) for part in parts])
        ctx.save_for_backward(logits_NV, target_N, total_N)
        return total_N - logits_NV.gather(-1, target_N[:, None])[:, 0].float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        logits_NV, target_N, total_N = ctx.saved_tensors
        (gradient_N,) = gradients
        slope_NV = torch.empty_like(logits_NV)
        size = _rows(logits_NV)
        columns = (logits_NV, slope_NV, target_N, total_N, gradient_N)
        for logits, slope, target, total, gradient in zip(*(column.split(size) for column in columns), strict=True):
            share = logits.float().sub_(total[:, None]).exp_()
            share[torch.arange(len(target), device=target.device), target] -= 1
            slope.copy_(share.mul_(gradient[:, None]))
        return slope_NV, None


def _rows(logits_NV: Tensor) -> int:
    return max(1, SLICE // logits_NV.shape[-1])
