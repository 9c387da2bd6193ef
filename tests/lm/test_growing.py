"""Texts that share what they begin with, and leave the batch as they end, go on as the model reads each alone."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from lm.generate import _at_level, _at_level_of_many
from lm.growing import GrowingDecoder, grows
from lm.roomy import RoomyLayer
from tests.lm.mini.tiny import tiny
from tests.lm.test_generate import llama

SIZES = {"vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


def gpt2():
    config = GPT2Config(**SIZES, bos_token_id=None, eos_token_id=2)
    model = GPT2LMHeadModel(config).eval()
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=rng))
    return model


@pytest.mark.parametrize("model", [llama().model, gpt2()], ids=["llama", "gpt2"])
@pytest.mark.parametrize("alike", [0, 11])
@torch.no_grad()
def test_logits_are_those_of_each_text_alone(model, alike):
    assert grows(model)
    rng = np.random.default_rng(alike)
    head = rng.integers(4, 100, alike)
    texts = [np.r_[head, rng.integers(4, 100, 1 + i % 4)].astype(np.int32) for i in range(9)]
    texts += [texts[3], texts[0], texts[3]]
    decoder, lines = GrowingDecoder(model, texts, 0), np.arange(len(texts))
    logits = decoder.start()
    for _ in range(14):
        for line, row in zip(lines, logits, strict=True):
            alone = model(torch.from_numpy(texts[line].astype(np.int64))[None]).logits[0, -1]
            torch.testing.assert_close(row, alone, atol=1e-3, rtol=1e-3)
        lines = lines[rng.random(len(lines)) < 0.87]
        if not len(lines):
            break
        tokens = rng.integers(4, 100, len(lines))
        for line, token in zip(lines, tokens, strict=True):
            texts[line] = np.r_[texts[line], token].astype(np.int32)
        logits = decoder.next(lines, torch.from_numpy(tokens))


@torch.no_grad()
def test_what_is_shared_is_read_once():
    model, read = llama().model, []
    model.register_forward_pre_hook(lambda m, args, given: read.append(given["input_ids"].shape), with_kwargs=True)
    GrowingDecoder(model, [np.r_[4:24, 30, 40].astype(np.int32)] * 3 + [np.r_[4:24, 50].astype(np.int32)], 0).start()
    assert read == [(1, 20), (2, 2)]


def test_which_models_it_takes():
    windows = MistralConfig(**SIZES, intermediate_size=64, num_key_value_heads=4, sliding_window=8)
    assert not grows(MistralForCausalLM(windows)), "some layers forget"
    assert not grows(tiny().model), "it keeps more than keys and values"
    assert grows(LlamaForCausalLM(llama().model.config))


def test_a_buffer_is_kept_as_it_grows():
    layer, made = RoomyLayer(), []
    for t in range(200):
        new = torch.full((3, 2, 1, 4), float(t))
        layer.update(new, -new)
        made.append(layer.keys.data_ptr())
    assert len(set(made)) <= 4
    assert layer.keys[1, 1, :, 2].tolist() == list(range(200))
    assert layer.values[2, 0, :, 0].tolist() == [-t for t in range(200)]


def test_a_large_vocabulary_is_drawn_from_as_a_small_one():
    rng = torch.Generator().manual_seed(0)
    logits = 6 * torch.randn(400, 9001, generator=rng)
    logits[:, ::3] = -torch.inf
    logprobs = logits.log_softmax(-1)
    uniform = torch.rand(400, 1, generator=rng, dtype=torch.float64)
    uniform[:2, 0] = torch.tensor([0.0, 1 - 1e-12], dtype=torch.float64)
    found, expected = _at_level_of_many(logprobs, uniform), _at_level(logprobs, uniform)
    assert (found == expected).float().mean() > 0.99
    assert torch.isfinite(logprobs.gather(1, found[:, None])).all(), "what cannot be is never drawn"
