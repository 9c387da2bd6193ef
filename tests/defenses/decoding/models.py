"""Tiny random models of ordinary architectures for tests of decoding defenses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from lm.examples import Examples
from lm.language_model import LanguageModel
from lm.mini.tokenizer import build_tokenizer
from lm.ragged import Ragged
from lm.types import Channel, ResponseFormat

WORDS = tuple(f"w{i}" for i in range(20))


@dataclass(frozen=True)
class AllTrace(ResponseFormat):
    """Everything is working."""

    def channels(self, tokens):
        return np.full(len(tokens.values), Channel.TRACE, np.uint8)

    def summary(self, tokens, channel):
        return np.ones(len(tokens.values), bool)

    def corrupted(self, token, rng):
        return token


def model(kind="llama", seed=0, vocab=24, dtype=torch.float32, words=WORDS):
    """A random language model; ``gpt2`` has absolute positions and keeps the precision it is given throughout."""
    if kind == "llama":
        config = LlamaConfig(
            vocab_size=vocab,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            attn_implementation="eager",
        )
        net = LlamaForCausalLM(config)
    else:
        config = GPT2Config(
            vocab_size=vocab,
            n_positions=64,
            n_embd=16,
            n_layer=2,
            n_head=2,
            bos_token_id=1,
            eos_token_id=2,
            attn_implementation="eager",
        )
        net = GPT2LMHeadModel(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.25, generator=generator)
    net.generation_config.eos_token_id = 2
    return LanguageModel(net.to(dtype).eval(), build_tokenizer(words), AllTrace())


def traces(n=24, seed=0):
    """Random prompt and completion rows."""
    rng = np.random.default_rng(seed)
    prompts = Ragged.of([[1, *rng.integers(4, 24, rng.integers(2, 5))] for _ in range(n)])
    completions = Ragged.of([[*rng.integers(4, 14, rng.integers(3, 8)), 2] for _ in range(n)])
    total = len(completions.values)
    return Examples(
        prompts,
        completions,
        np.full(total, Channel.TRACE, np.uint8),
        np.ones(total, np.float32),
        np.full(n, -1, np.int64),
        np.zeros(n, bool),
    )
