"""The steps of `lm.mini.program` for any number of stacked models on any device, in torch; see `lm.mini.steps_fused`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from lm.mini.packing import Packed
from lm.mini.rotation import rotation

Back = Callable[[Tensor], Tensor]


class TorchSteps:
    """For the tokens of one packed batch of G members.

    Args:
        packed: the batch.
        heads: of attention.
        width: d.
        theta: base of the rotary angles.
        eps: of the norms.
    """

    def __init__(self, packed: Packed, heads: int, width: int, theta: float, eps: float) -> None:
        self._heads, self._eps = heads, eps
        device = packed.input_GN.device
        longest = int(packed.length.max())
        place = np.arange(longest)
        inside = place < packed.length[:, None]
        self._rows_RT = torch.from_numpy(np.where(inside, packed.start[:, None] + place, packed.start[:, None])).to(
            device
        )
        self._inside_RT = torch.from_numpy(inside).to(device)
        position_GN = torch.from_numpy(packed.position_N).view(packed.input_GN.shape).to(device)
        self._follows = [(position_GN >= j)[:, :, None].float() for j in range(4)]
        cos_TP, sin_TP = rotation(longest, width // heads // 2, theta)
        self._angle_TP = torch.complex(cos_TP, sin_TP).to(device)

    def norm(self, x_GNd: Tensor) -> tuple[Tensor, Callable[[Tensor, Tensor], Tensor]]:
        """See `FusedSteps.norm`."""
        scale = torch.rsqrt(x_GNd.square().mean(-1, keepdim=True) + self._eps)
        y = x_GNd * scale

        def back(g_GNd: Tensor, around_GNd: Tensor) -> Tensor:
            along = (g_GNd * y).mean(-1, keepdim=True)
            return around_GNd.add_(torch.addcmul(g_GNd, y, along, value=-1) * scale)

        return y, back

    def mix(self, x_GNd: Tensor, weight_GJd: Tensor, grad_GJd: Tensor) -> tuple[Tensor, Back]:
        """See `FusedSteps.mix`."""
        y = x_GNd.clone()
        taps = range(1, min(weight_GJd.shape[1], x_GNd.shape[1] - 1) + 1)
        for j in taps:
            y[:, j:].addcmul_(x_GNd[:, :-j] * self._follows[j][:, j:], weight_GJd[:, j - 1 : j])

        def back(g_GNd: Tensor) -> Tensor:
            by_x = g_GNd.clone()
            grad_GJd.zero_()
            for j in taps:
                later = g_GNd[:, j:] * self._follows[j][:, j:]
                by_x[:, :-j].addcmul_(later, weight_GJd[:, j - 1 : j])
                grad_GJd[:, j - 1] = (later * x_GNd[:, :-j]).sum(1)
            return by_x

        return y, back

    def attend(self, qkv_GNe: Tensor) -> tuple[Tensor, Back]:
        """See `FusedSteps.attend`: rows are padded to the longest here, and only here."""
        g, n, e = qkv_GNe.shape
        with torch.enable_grad():
            leaf = qkv_GNe.detach().requires_grad_()
            rows, longest = self._rows_RT.shape
            parts = leaf.view(g * n, e).index_select(0, self._rows_RT.view(-1))
            qkv = parts.view(rows, longest, 3, self._heads, e // 3 // self._heads)
            pairs = torch.view_as_complex(qkv[:, :, :2].unflatten(-1, (-1, 2)))
            qk = torch.view_as_real(pairs * self._angle_TP[None, :, None, None]).flatten(-2)
            q, k = qk.permute(2, 0, 3, 1, 4)
            mixed = scaled_dot_product_attention(q, k, qkv[:, :, 2].transpose(1, 2), is_causal=True)
            kept = mixed.transpose(1, 2).reshape(rows, longest, e // 3)[self._inside_RT]
            out = leaf.new_zeros(g * n, e // 3).index_copy(0, self._rows_RT[self._inside_RT], kept).view(g, n, e // 3)

        def back(g_GNd: Tensor) -> Tensor:
            return torch.autograd.grad(out, leaf, g_GNd)[0]

        return out.detach(), back

    def feed(
        self, y_GNd: Tensor, x_GNd: Tensor, up_Gfd: Tensor, down_Gdf: Tensor, up_grad: Tensor, down_grad: Tensor
    ) -> tuple[Tensor, Back]:
        """See `FusedSteps.feed`."""
        positive = torch.bmm(y_GNd, up_Gfd.mT).clamp_min_(0)
        square = positive.square()
        out = torch.baddbmm(x_GNd, square, down_Gdf.mT)

        def back(g_GNd: Tensor) -> Tensor:
            torch.bmm(g_GNd.mT, square, out=down_grad)
            wide = torch.bmm(g_GNd, down_Gdf).mul_(positive).mul_(2)
            torch.bmm(wide.mT, y_GNd, out=up_grad)
            return torch.bmm(wide, up_Gfd)

        return out, back
