"""The steps of `lm.mini.program` for one model on a CPU, by the compiled kernels of `lm.mini.fused`.

Each step returns its value and a function from the gradient by that value to the gradient by the step's input; gradients by
weights go into the given tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lm.mini import fused
from lm.mini.fused_attention import attend, attend_back
from lm.mini.packing import Packed
from lm.mini.rotation import rotation

Back = Callable[[Tensor], Tensor]

CHUNK = 512
"""Tokens that go through the feed-forward layer at a time, so that its wide activations stay in the cache."""


class FusedSteps:
    """For the tokens of one packed batch of one member.

    Args:
        packed: of one member.
        heads: of attention.
        width: d.
        theta: base of the rotary angles.
        eps: of the norms.
    """

    def __init__(self, packed: Packed, heads: int, width: int, theta: float, eps: float) -> None:
        self._start, self._length, self._heads, self._eps = packed.start, packed.length, heads, np.float32(eps)
        cos_TP, sin_TP = rotation(int(packed.length.max()), width // heads // 2, theta)
        self._cos, self._sin = cos_TP.numpy(), sin_TP.numpy()

    def norm(self, x_GNd: Tensor) -> tuple[Tensor, Callable[[Tensor, Tensor], Tensor]]:
        """x / √(mean(x²) + ε); the way back takes the gradient that goes around the norm too, and adds to it in place."""
        x = x_GNd[0]
        y, scale = torch.empty_like(x), np.empty(len(x), np.float32)
        fused.norm(_array(x), self._eps, _array(y), scale)

        def back(g_GNd: Tensor, around_GNd: Tensor) -> Tensor:
            fused.norm_back(_array(g_GNd[0]), _array(y), scale, _array(around_GNd[0]))
            return around_GNd

        return y[None], back

    def mix(self, x_GNd: Tensor, weight_GJd: Tensor, grad_GJd: Tensor) -> tuple[Tensor, Back]:
        """x_t + Σ_j w_j ⊙ x_{t−j} within each row."""
        x, weight = _array(x_GNd[0]), _array(weight_GJd[0])
        y = torch.empty_like(x_GNd)
        fused.mix(x, weight, self._start, self._length, _array(y[0]))

        def back(g_GNd: Tensor) -> Tensor:
            by_x = torch.empty_like(g_GNd)
            grad_GJd.zero_()
            fused.mix_back(_array(g_GNd[0]), x, weight, self._start, self._length, _array(by_x[0]), _array(grad_GJd[0]))
            return by_x

        return y, back

    def attend(self, qkv_GNe: Tensor) -> tuple[Tensor, Back]:
        """Causal attention with rotary positions within each row; e = 3·d."""
        _, n, e = qkv_GNe.shape
        out, lse = torch.empty(1, n, e // 3), np.empty(n * self._heads, np.float32)
        qkv = _array(qkv_GNe.view(-1))
        rows = (self._heads, self._cos, self._sin, self._start, self._length)
        attend(qkv, *rows, _array(out.view(-1)), lse)

        def back(g_GNd: Tensor) -> Tensor:
            by_qkv = torch.empty_like(qkv_GNe)
            attend_back(_array(g_GNd.reshape(-1)), qkv, *rows, _array(out.view(-1)), lse, _array(by_qkv.view(-1)))
            return by_qkv

        return out, back

    def feed(
        self, y_GNd: Tensor, x_GNd: Tensor, up_Gfd: Tensor, down_Gdf: Tensor, up_grad: Tensor, down_grad: Tensor
    ) -> tuple[Tensor, Back]:
        """x + down · max(up · y, 0)²."""
        y, up, down = y_GNd[0], up_Gfd[0], down_Gdf[0]
        out, positive = torch.empty_like(x_GNd), y.new_empty(len(y), len(up))
        square = y.new_empty(min(CHUNK, len(y)), len(up))
        for at in range(0, len(y), CHUNK):
            part = slice(at, min(at + CHUNK, len(y)))
            wide, squared = positive[part], square[: part.stop - at]
            torch.mm(y[part], up.T, out=wide)
            fused.squared_relu(_array(wide.view(-1)), _array(squared.view(-1)))
            torch.addmm(x_GNd[0, part], squared, down.T, out=out[0, part])

        def back(g_GNd: Tensor) -> Tensor:
            g, by_y = g_GNd[0], torch.empty_like(y)
            by_wide = torch.empty_like(square)
            for at in range(0, len(y), CHUNK):
                part = slice(at, min(at + CHUNK, len(y)))
                size, beta = part.stop - at, float(at > 0)
                wide, squared = by_wide[:size], square[:size]
                torch.mm(g[part], down, out=wide)
                fused.squared_relu_back(
                    _array(wide.view(-1)), _array(positive[part].view(-1)), _array(squared.view(-1))
                )
                down_grad[0].addmm_(g[part].T, squared, beta=beta)
                up_grad[0].addmm_(wide.T, y[part], beta=beta)
                torch.mm(wide, up, out=by_y[part])
            return by_y[None]

        return out, back


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.numpy()
    return array
