"""Configuration of the mini architecture."""

from __future__ import annotations

from typing import Any, ClassVar

from transformers import PretrainedConfig


class MiniConfig(PretrainedConfig):
    """Shape of a mini decoder.

    Args:
        vocab_size: number of tokens.
        hidden_size: width d of the residual stream.
        num_hidden_layers: number of blocks.
        num_attention_heads: heads a block; must divide ``hidden_size`` into an even head size.
        intermediate_size: width of the feed-forward layer, 4·d if None.
        rope_theta: base of the rotary position angles.
        rms_norm_eps: added to the mean square in each norm.
    """

    model_type = "moatbench_mini"
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["cache", "past_key_values"]

    def __init__(
        self,
        vocab_size: int = 128,
        hidden_size: int = 96,
        num_hidden_layers: int = 3,
        num_attention_heads: int = 4,
        intermediate_size: int | None = None,
        rope_theta: float = 10_000.0,
        rms_norm_eps: float = 1e-6,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size or 4 * hidden_size
        self.rope_theta = rope_theta
        self.rms_norm_eps = rms_norm_eps
        kwargs.setdefault("tie_word_embeddings", False)
        super().__init__(**kwargs)
