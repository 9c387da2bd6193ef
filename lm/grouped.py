"""Attention of models whose queries share keys, on a CPU: PyTorch's own grouping, where transformers copies the keys of each
query, or packs queries, to be quick on GPUs. What comes out is the same; a step of 128 texts takes a fifth to a third less
of its attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FUSED, GROUPED = "sdpa", "sdpa_grouped"
_KNOWN = {"is_causal", "position_ids", "use_cache", "output_attentions", "output_hidden_states", "sliding_window"}
"""Options that change nothing where there is a mask."""


def attention_of(model: PreTrainedModel) -> str:
    """How a model attends, in transformers' words."""
    name: str = model.config._attn_implementation
    return name


def attend_in_groups(model: PreTrainedModel) -> None:
    """From now on a model on a CPU that attends by PyTorch's fused attention does so in groups where no gradient is wanted.
    Changed in place, and before anything is computed: numbers must not depend on what a model did before."""
    if model.device.type == "cpu" and attention_of(model) == FUSED:
        model.set_attn_implementation(GROUPED)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """As transformers' own of this name; whatever is not the plain case is left to that."""
    plain = attention_mask is not None and all(
        name in _KNOWN or (x is None or x is False) for name, x in options.items()
    )
    if not plain or torch.is_grad_enabled() or query.device.type != "cpu" or key.shape[1] == query.shape[1]:
        own: tuple[Tensor, None] = ALL_ATTENTION_FUNCTIONS[FUSED](
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
        return own
    found = scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling, enable_gqa=True
    )
    return found.transpose(1, 2).contiguous(), None


AttentionInterface.register(GROUPED, _attend)
AttentionMaskInterface.register(GROUPED, ALL_MASK_ATTENTION_FUNCTIONS[FUSED])
