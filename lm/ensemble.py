"""Several mini models of one shape as one model: its batches hold as many equal blocks of rows as there are members.

For generating and scoring with many students at once; `lm.mini.program` trains them. See `LanguageModel.members`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from lm.language_model import LanguageModel
from lm.mini.kernels import TAPS
from lm.mini.modeling import MiniForCausalLM

MOST_TOKENS = 16
"""Times as many tokens as one model takes at once, at most: more members share a batch, within what memory holds."""


class StackedLinear(nn.Module):
    """Rows (G·b, T, k) times their member's weights (G, o, k)."""

    def __init__(self, weight_Gok: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight_Gok, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(G·b, T, o)."""
        out = torch.bmm(x.reshape(len(self.weight), -1, x.shape[-1]), self.weight.mT)
        return out.view(*x.shape[:-1], -1)


class StackedEmbedding(nn.Module):
    """Rows (G·b, T) of tokens looked up in their member's table (G, V, d)."""

    def __init__(self, weight_GVd: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight_GVd, requires_grad=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(G·b, T, d)."""
        g, v, d = self.weight.shape
        member = torch.arange(len(tokens), device=tokens.device) // (len(tokens) // g)
        return self.weight.reshape(g * v, d)[tokens + member[:, None] * v]


class StackedMix(nn.Module):
    """`lm.mini.kernels.CausalMix` with the weights (G, J, d) of each row's member; without gradient."""

    def __init__(self, weight_GJd: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight_GJd, requires_grad=False)

    def forward(self, x_BTd: Tensor) -> Tensor:
        """Same shape as ``x_BTd``."""
        weight_BJd = self.weight.repeat_interleave(len(x_BTd) // len(self.weight), 0)
        out = x_BTd.clone()
        for j in range(1, min(TAPS, x_BTd.shape[1] - 1) + 1):
            out[:, j:].addcmul_(x_BTd[:, :-j], weight_BJd[:, j - 1 : j])
        return out


def ensemble(members: Sequence[LanguageModel]) -> LanguageModel:
    """The members as one `LanguageModel`; they have one shape, tokenizer and format.

    Args:
        members: at least one, all of `MiniForCausalLM`.
    """
    models = [cast(MiniForCausalLM, lm.model) for lm in members]
    if len(models) == 1:
        return members[0]
    with torch.device("meta"):
        joined = MiniForCausalLM(models[0].config)

    def stacked(name: str) -> Tensor:
        return torch.stack([model.get_parameter(name).detach() for model in models])

    joined.set_submodule("embed", StackedEmbedding(stacked("embed.weight")))
    linear = ["lm_head"]
    for i in range(len(joined.blocks)):
        attention = f"blocks.{i}.attention"
        joined.get_submodule(attention).add_module("mixer", StackedMix(stacked(f"{attention}.mix")))
        joined.get_submodule(attention).register_parameter("mix", None)
        linear += [f"{attention}.qkv", f"{attention}.out", f"blocks.{i}.up", f"blocks.{i}.down"]
    for name in linear:
        joined.set_submodule(name, StackedLinear(stacked(f"{name}.weight")))
    joined.eval()
    first = members[0]
    return replace(
        first, model=joined, members=len(models), batch_tokens=first.batch_tokens * min(len(models), MOST_TOKENS)
    )
