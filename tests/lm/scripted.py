"""A Llama that says one text whatever it is asked: each token has one successor, a table in its output layer."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests.lm import tiny


def save(folder: Path, says: str, ends: bool = True, positions: int = 512) -> Path:
    """Write a model that says this text and ends, or says its last token for ever; returns the folder."""
    made = tiny.tokenizer()
    size = len(made)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=size,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=positions,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=made.eos_token_id,
        pad_token_id=made.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    prompt = made.apply_chat_template([{"role": "user", "content": "x"}], tokenize=True, add_generation_prompt=True)
    begin = list(prompt["input_ids"] if hasattr(prompt, "keys") else prompt)[-1]
    said = made(says, add_special_tokens=False)["input_ids"]
    line = [begin, *said, made.eos_token_id if ends else said[-1]]
    assert len(set(line[:-1])) == len(line) - 1, "each token has one successor"
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        for token, following in pairwise(line):
            model.lm_head.weight[following, token] = 1
    model.save_pretrained(folder)
    made.save_pretrained(folder)
    return folder
