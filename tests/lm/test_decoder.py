"""Decoders grow texts in company as the model reads them alone and in full."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lm.decoder import TorchDecoder
from lm.ensemble import ensemble
from lm.mini.decoder import FusedDecoder, fits
from lm.randomness import uniforms
from tests.lm.mini.tiny import tiny


@torch.no_grad()
def in_full(model, text):
    return model(torch.tensor([text])).logits[0, -1]


@pytest.mark.parametrize("kind", ["fused", "fused without room", "torch"])
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=6), seed=st.integers(0, 999))
@settings(max_examples=12, deadline=None)
def test_logits_are_those_of_the_whole_text(kind, lengths, seed):
    model, rng = tiny(scale=0.15).model, np.random.default_rng(seed)
    contexts = [rng.integers(4, 100, n).astype(np.int32) for n in lengths]
    texts = [c.tolist() for c in contexts]
    with torch.no_grad():
        room = 20 if kind == "fused" else 1
        decoder = TorchDecoder(model, contexts, 0) if kind == "torch" else FusedDecoder(model, contexts, room)
        logits = decoder.start()
        lines = np.arange(len(texts))
        for step in range(20):
            expected = torch.stack([in_full(model, texts[i]) for i in lines])
            torch.testing.assert_close(logits, expected, atol=1e-3, rtol=1e-3)
            lines = lines[rng.random(len(lines)) < 0.9]
            if not len(lines) or step == 19:
                break
            tokens = rng.integers(4, 100, len(lines))
            for i, token in zip(lines, tokens, strict=True):
                texts[i].append(int(token))
            logits = decoder.next(lines, torch.from_numpy(tokens))


def test_which_models_the_compiled_decoder_takes():
    assert fits(tiny().model)
    assert not fits(tiny(width=16).model)  # heads of 4
    assert not fits(ensemble([tiny(0), tiny(1)]).model)
    assert not fits(tiny().model.double())
    assert not fits(torch.nn.Linear(2, 2))


@given(
    st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 9)), min_size=1, max_size=5), st.integers(0, 13)
)
def test_uniforms_are_numpys_own(streams, count):
    seeds, first = (np.array(values, np.int64) for values in zip(*streams, strict=True))
    found = uniforms(seeds, first, count)
    for line, (seed, skipped) in zip(found, streams, strict=True):
        stream = np.random.Generator(np.random.Philox(key=seed % 2**64))
        assert (line == stream.random(skipped + count)[skipped:]).all()
