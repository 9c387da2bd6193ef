"""Texts that share what they begin with, and leave the batch as they end, go on as the model reads each alone."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from lm.beginnings import beginnings
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


def reads_of(texts):
    model, read = llama().model, []
    hook = model.register_forward_pre_hook(
        lambda m, args, given: read.append(given["input_ids"].shape), with_kwargs=True
    )
    with torch.no_grad():
        GrowingDecoder(model, [np.asarray(text, np.int32) for text in texts], 0).start()
    hook.remove()
    return read


def test_what_is_shared_is_read_once(monkeypatch):
    head, more = list(range(4, 34)), list(range(40, 60))
    plain = [[*head, 70, 71], [*head, 72, 73], [*head, 70, 71], [*head, 74]]
    assert reads_of(plain[:2]) == [(2, 32)], "a pass over all weights for 30 tokens is not worth it"
    assert reads_of([*plain, [*head, 75, 76]]) == [(1, 30), (4, 2)], "equal texts once"
    longer = [[*head, *more, 80 + i] for i in range(5)]
    assert reads_of(plain + longer) == [(1, 30), (3, 2), (1, 20), (5, 1)]
    monkeypatch.setattr("lm.growing.AT_ONCE", 6)
    assert reads_of([[9, i] for i in range(4, 8)] + [[9, 8, 7, 6, 5]]) == [(3, 2), (1, 2), (1, 5)], (
        "like lengths together"
    )


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=30), min_size=1, max_size=12, unique_by=tuple))
def test_every_text_has_one_beginning_and_begins_with_it(texts):
    rows = [np.asarray(text, np.int32) for text in texts]
    with patch("lm.beginnings.WORTH", 8):
        found, seen = [(beginnings(rows), ())], []
    while found:
        beginning, head = found.pop()
        members = _all(beginning)
        head = (*head, *beginning.tokens.tolist())
        assert len(head) == beginning.end
        assert all(tuple(texts[r][: len(head)]) == head and len(texts[r]) > len(head) for r in members)
        seen += beginning.texts.tolist()
        found += [(further, head) for further in beginning.further]
    assert sorted(seen) == list(range(len(texts)))


def _all(beginning):
    return beginning.texts.tolist() + [r for further in beginning.further for r in _all(further)]


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
