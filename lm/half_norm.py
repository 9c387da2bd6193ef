"""Root-mean-square norms (arXiv 1910.07467) of models in bfloat16 on CPUs, in one pass over memory.

Transformers computes them in six operations with float32 tables between them, which took a tenth of a harvest. Only norms
are replaced that are found to give the same numbers, but for roundings to the neighbour in one of a thousand.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lm.compiled import f32, kernel

if TYPE_CHECKING:
    from transformers import PreTrainedModel

THREADS = 2
"""With more of them transformers' own operations, which share the work out, are as quick."""
ALIKE = 0.999
"""Share of numbers that have to be the same to the bit; sums in another order round a few otherwise."""


def quick_norms(model: PreTrainedModel) -> None:
    """From now on such norms of a model are computed here wherever no gradient is wanted. Changed in place, and before
    anything is computed: numbers must not depend on what a model did before."""
    if model.device.type != "cpu" or model.dtype != torch.bfloat16:
        return
    kinds: dict[type[nn.Module], bool] = {}
    for module in model.modules():
        kind = type(module)
        if kind.__name__.endswith("RMSNorm") and not issubclass(kind, Quick):
            if kind not in kinds:
                kinds[kind] = _is_plain(module)
            if kinds[kind]:
                module.__class__ = _QUICK.get(kind) or _quick(kind)


class Quick(nn.Module):
    """Base of the norms that were replaced."""


_QUICK: dict[type[nn.Module], type[nn.Module]] = {}


def _quick(kind: type[nn.Module]) -> type[nn.Module]:
    """The same kind of norm, computed here; one for each kind."""

    def forward(self: Any, hidden_states: Tensor) -> Tensor:
        plain = hidden_states.dtype == self.weight.dtype == torch.bfloat16 and hidden_states.device.type == "cpu"
        if not plain or torch.is_grad_enabled() or torch.get_num_threads() > THREADS:
            own: Tensor = kind.forward(self, hidden_states)
            return own
        return _normed(hidden_states, self.weight, _epsilon(self))

    made = type(kind.__name__, (kind, Quick), {"forward": forward, "__module__": kind.__module__})
    return _QUICK.setdefault(kind, made)


def _epsilon(module: Any) -> float:
    return float(module.variance_epsilon)


@torch.no_grad()
def _is_plain(module: Any) -> bool:
    """Whether a norm computes what `_normed` does."""
    weight = getattr(module, "weight", None)
    if not hasattr(module, "variance_epsilon") or weight is None or weight.dtype != torch.bfloat16 or weight.ndim != 1:
        return False
    rng = torch.Generator().manual_seed(0)
    x = (3 * torch.randn(64, len(weight), generator=rng)).bfloat16()
    own, found = module(x), _normed(x, weight, _epsilon(module))
    return (
        own.dtype == found.dtype
        and bool((own == found).float().mean() >= ALIKE)
        and torch.allclose(own, found, rtol=2**-7)
    )


def _normed(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """(..., d) in bfloat16: x / √(mean(x²) + ε), rounded, times the weights (d,)."""
    out = torch.empty(x.shape, dtype=x.dtype)
    _norm(_bits(x.contiguous()), _bits(weight), f32(epsilon), _bits(out))
    return out


def _bits(x: Tensor) -> NDArray[np.uint16]:
    bits: NDArray[np.uint16] = x.detach().view(torch.uint16).view(-1, x.shape[-1]).numpy()
    return bits


@kernel
def _norm(x: Any, weight: Any, epsilon: Any, out: Any) -> None:
    """Rows of bits of bfloat16, the upper halves of float32; rounded to the nearest, halves to even."""
    rows, d = x.shape
    wide, weights, bits = np.empty(d, np.uint32), np.empty(d, np.uint32), np.empty(d, np.uint32)
    number, factor, product = wide.view(np.float32), weights.view(np.float32), bits.view(np.float32)
    half, one, low, upper = np.uint32(0x7FFF), np.uint32(1), np.uint32(16), np.uint32(0xFFFF0000)
    for i in range(d):
        weights[i] = np.uint32(weight[0, i]) << low
    for r in range(rows):
        for i in range(d):
            wide[i] = np.uint32(x[r, i]) << low
        total = f32(0)
        for i in range(d):
            total += number[i] * number[i]
        scale = f32(1) / f32(math.sqrt(total / f32(d) + epsilon))
        for i in range(d):
            product[i] = number[i] * scale
        for i in range(d):
            bits[i] = (bits[i] + half + ((bits[i] >> low) & one)) & upper
        for i in range(d):
            product[i] = product[i] * factor[i]
        for i in range(d):
            out[r, i] = np.uint16((bits[i] + half + ((bits[i] >> low) & one)) >> low)
