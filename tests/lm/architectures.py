"""Random models of a few thousand weights in the architectures that people study, each saved as a Hugging Face folder would
be, in what tokenizers, templates and weight files differ in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from tests.lm import tiny

SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
GROUPED: dict[str, Any] = {**SHAPE, "num_key_value_heads": 2}
GEMMA: dict[str, Any] = {**GROUPED, "head_dim": 8, "sliding_window": 6, "query_pre_attn_scalar": 8}

ARCHITECTURES: dict[str, Callable[..., PreTrainedConfig]] = {
    "llama": lambda **ids: LlamaConfig(**GROUPED, **ids),
    "qwen2": lambda **ids: Qwen2Config(**GROUPED, tie_word_embeddings=True, **ids),
    "gpt2": lambda **ids: GPT2Config(n_positions=256, n_embd=32, n_layer=2, n_head=4, **ids),
    "neox": lambda **ids: GPTNeoXConfig(**SHAPE, rotary_pct=0.25, **ids),
    "gemma2": lambda **ids: Gemma2Config(**GEMMA, attn_logit_softcapping=1.0, final_logit_softcapping=3.0, **ids),
    "gemma3": lambda **ids: Gemma3TextConfig(**GEMMA, **ids),
}
"""From ids of tokens and a vocabulary to a configuration. Windows are shorter than prompts, caps below the logits."""


@dataclass(frozen=True)
class Dressing:
    """What a folder has besides the weights.

    Args:
        template: "" for none: base models have none.
        bos: whether there is a token at the beginning of every text, which the template writes.
        pad: whether there is one of its own; otherwise the end of sequence pads.
        more_rows: of the embeddings than the tokenizer has tokens.
        shards: whether the weights are in several files with an index.
    """

    template: str = tiny.TEMPLATE
    bos: bool = False
    pad: bool = False
    more_rows: int = 0
    shards: bool = False


DRESSINGS = {
    "plain": Dressing(),
    "whole": Dressing("{{ bos_token }}" + tiny.TEMPLATE, bos=True, pad=True, more_rows=28, shards=True),
    "bare": Dressing("", bos=True),
    "thinking": Dressing(tiny.TEMPLATE.replace("assistant\n{%", "assistant\n<think>\n{%"), more_rows=12),
}


def save(folder: Path, architecture: str, dressing: Dressing) -> Path:
    """Write model and tokenizer; returns the folder."""
    made = _tokenizer(dressing)
    ids = {"bos_token_id": made.bos_token_id, "eos_token_id": made.eos_token_id, "pad_token_id": made.pad_token_id}
    config = ARCHITECTURES[architecture](vocab_size=len(made) + dressing.more_rows, **ids)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    draw(model)
    model.save_pretrained(folder, **({"max_shard_size": "20KB"} if dressing.shards else {}))
    made.save_pretrained(folder)
    return folder


@torch.no_grad()
def draw(model: PreTrainedModel, seed: int = 0) -> None:
    """Matrices normal, large enough that every part of the model shows in what it says."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.copy_(torch.empty(parameter.shape).normal_(0, 0.3, generator=generator))


def _tokenizer(dressing: Dressing) -> PreTrainedTokenizerFast:
    made = tiny.tokenizer()
    made.chat_template = dressing.template or None
    names = {"bos_token": "<s>"} if dressing.bos else {}
    names |= {"pad_token": "<pad>"} if dressing.pad else {}
    made.add_special_tokens({name: AddedToken(text, special=True) for name, text in names.items()})
    made.add_tokens(["<|endoftext|>"])  # which transformers gives to tokenizers of Qwen2 that have none
    if dressing.bos:
        first = [("<s>", made.bos_token_id)]
        made.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=first)
    return made
