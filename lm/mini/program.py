"""The mini architecture on packed rows of G stacked models, forward and backward, without a tape.

`lm.mini.modeling` is the same function as an ordinary transformers model, and the tests hold the two together. What is not
learnt is not computed: in the last block, only tokens whose following token is learnt go beyond attention.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lm.mini.packing import Packed
from lm.mini.stack import Stack
from lm.mini.steps_fused import FusedSteps
from lm.mini.steps_torch import TorchSteps

Back = Callable[[Tensor], Tensor]


@torch.no_grad()
def forward(stack: Stack, packed: Packed) -> tuple[Tensor, Callable[[Tensor], None]]:
    """Logits (G, M, V) of the learnt targets, and the way back: from their gradient to that of every weight of the stack,
    which is overwritten."""
    config = stack.config
    # several, or a GPU, in torch: docs/performance.md, "Many students at once"
    one = len(stack) == 1 and stack.device.type == "cpu" and config.hidden_size // config.num_attention_heads % 8 == 0
    steps = (FusedSteps if one else TorchSteps)(
        packed, config.num_attention_heads, config.hidden_size, config.rope_theta, config.rms_norm_eps
    )
    backs: list[Callable[[Tensor], Tensor]] = []
    x = _embedded(stack, packed.input_GN)
    for i in range(config.num_hidden_layers):
        last = i == config.num_hidden_layers - 1
        x = _block(stack, f"blocks.{i}.", x, steps, packed.learnt_GM if last else None, backs)
    normed, norm_back = steps.norm(x)
    logits, head_back = _linear(stack, "lm_head.weight", normed)

    @torch.no_grad()
    def back(g_GMV: Tensor) -> None:
        g = head_back(g_GMV)
        g = norm_back(g, torch.zeros_like(g))
        for step in reversed(backs):
            g = step(g)
        _embedded_back(stack, packed.input_GN, g)

    return logits, back


def _block(
    stack: Stack,
    name: str,
    x: Tensor,
    steps: FusedSteps | TorchSteps,
    kept_GM: Tensor | None,
    backs: list[Callable[[Tensor], Tensor]],
) -> Tensor:
    """One block; goes on with the kept tokens only, where they are given."""
    normed, norm_back = steps.norm(x)
    mix = f"{name}attention.mix"
    mixed, mix_back = steps.mix(normed, stack[mix], stack.grad(mix))
    qkv, qkv_back = _linear(stack, f"{name}attention.qkv.weight", mixed)
    attended, attend_back = steps.attend(qkv)
    shape = x.shape
    if kept_GM is not None:
        attended, x = _taken(attended, kept_GM), _taken(x, kept_GM)
    x, out_back = _linear(stack, f"{name}attention.out.weight", attended, x)
    narrow, narrow_back = steps.norm(x)
    up, down = f"{name}up.weight", f"{name}down.weight"
    fed, feed_back = steps.feed(narrow, x, stack[up], stack[down], stack.grad(up), stack.grad(down))

    def back(g: Tensor) -> Tensor:
        g = narrow_back(feed_back(g), g)
        by_attended = out_back(g)
        if kept_GM is not None:
            by_attended, g = _put_back(by_attended, kept_GM, shape), _put_back(g, kept_GM, shape)
        return norm_back(mix_back(qkv_back(attend_back(by_attended))), g)

    backs.append(back)
    return fed


def _linear(stack: Stack, name: str, x_GNk: Tensor, to_GNo: Tensor | None = None) -> tuple[Tensor, Back]:
    """x · Wᵀ, added to ``to`` where that is given."""
    weight, grad = stack[name], stack.grad(name)
    if len(stack) == 1:
        x, w = x_GNk[0], weight[0]
        out = torch.mm(x, w.T) if to_GNo is None else torch.addmm(to_GNo[0], x, w.T)

        def back_one(g_GNo: Tensor) -> Tensor:
            torch.mm(g_GNo[0].T, x, out=grad[0])
            return torch.mm(g_GNo[0], w)[None]

        return out[None], back_one

    def back(g_GNo: Tensor) -> Tensor:
        torch.bmm(g_GNo.mT, x_GNk, out=grad)
        return torch.bmm(g_GNo, weight)

    return (torch.bmm(x_GNk, weight.mT) if to_GNo is None else torch.baddbmm(to_GNo, x_GNk, weight.mT)), back


def _rows(stack: Stack, input_GN: Tensor) -> Tensor:
    """(G·N,) each token's line among the embeddings of all members."""
    members = torch.arange(len(stack), device=input_GN.device)[:, None]
    return (input_GN + members * stack.config.vocab_size).view(-1)


def _embedded(stack: Stack, input_GN: Tensor) -> Tensor:
    table = stack["embed.weight"]
    # One look-up for all members: their tables laid end to end.
    return (
        table.reshape(-1, table.shape[2]).index_select(0, _rows(stack, input_GN)).view(*input_GN.shape, table.shape[2])
    )


def _embedded_back(stack: Stack, input_GN: Tensor, g_GNd: Tensor) -> None:
    grad = stack.grad("embed.weight")
    flat = grad.new_zeros(grad.shape[0] * grad.shape[1], grad.shape[2])
    flat.index_add_(0, _rows(stack, input_GN), g_GNd.reshape(-1, g_GNd.shape[2]))
    grad.copy_(flat.view_as(grad))


def _taken(x_GNd: Tensor, kept_GM: Tensor) -> Tensor:
    """The kept tokens (places among the flattened G·N), (G, M, d)."""
    return x_GNd.reshape(-1, x_GNd.shape[2]).index_select(0, kept_GM.view(-1)).view(*kept_GM.shape, x_GNd.shape[2])


def _put_back(g_GMd: Tensor, kept_GM: Tensor, shape: torch.Size) -> Tensor:
    """Gradients of the kept tokens at their places; 0 elsewhere. Repeats of a member's first place carry no gradient."""
    flat = g_GMd.new_zeros(shape[0] * shape[1], shape[2])
    return flat.index_add_(0, kept_GM.view(-1), g_GMd.reshape(-1, shape[2])).view(shape)
