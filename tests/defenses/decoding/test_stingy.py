"""A stingy teacher: k tokens, renormalised, in text and lists alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from defenses.base import Serving
from defenses.decoding.stingy import Stingy
from lm.ragged import Ragged
from lm.types import Sampling
from tests.defenses.asking import asked
from tests.defenses.release.responses import VOCAB, assert_aligned, make, student

PROMPTS = Ragged.of([[1, 5, 6], [1, 9], [1, 4, 4, 7, 8]] * 20)


def said(defense, k):
    processor = defense.decode(Serving(student()), asked(len(PROMPTS)))
    seeds = np.arange(len(PROMPTS))
    return student().generate(PROMPTS, Sampling(1.0, 8, k), seeds, () if processor is None else (processor,))


def test_probabilities_beyond_k_are_0_and_the_rest_renormalised():
    scores = torch.log_softmax(torch.randn(5, 30, generator=torch.Generator().manual_seed(0)), -1)
    processor = Stingy(3).decode(Serving(student()), asked(5))
    found = torch.softmax(processor(torch.zeros(5, 1, dtype=torch.long), scores), -1)
    plain = scores.exp()
    mask = plain >= plain.topk(3).values[:, -1:]
    torch.testing.assert_close(found, plain * mask / (plain * mask).sum(-1, keepdim=True))
    assert (found.argmax(-1) == plain.argmax(-1)).all()


def test_no_other_token_is_said_or_listed():
    drawn = said(Stingy(2), VOCAB)
    listed = drawn.top_logprobs > -1e8
    assert (listed.sum(1) == 2).all()
    assert (drawn.top_ids[:, :2] == drawn.tokens.values[:, None]).any(1).all()
    np.testing.assert_allclose(np.exp(drawn.top_logprobs[:, :2].astype(float)).sum(1), 1, atol=1e-5)
    responses, context = make(k=5)
    responses.top_logprobs[:, 2:] = -1e9
    released = Stingy(2).release(responses, context())
    assert_aligned(released)
    assert (released.top_ids[:, 2:] == -1).all()


def test_one_token_is_greedy_and_all_tokens_change_nothing():
    greedy = student().generate(PROMPTS, Sampling(0.0, 8), np.arange(len(PROMPTS)))
    np.testing.assert_array_equal(said(Stingy(1), 1).tokens.values, greedy.tokens.values)
    whole, plain = said(Stingy(VOCAB), 5), student().generate(PROMPTS, Sampling(1.0, 8, 5), np.arange(len(PROMPTS)))
    np.testing.assert_array_equal(whole.tokens.values, plain.tokens.values)
    np.testing.assert_array_equal(whole.top_logprobs, plain.top_logprobs)


def test_nothing_at_all_cannot_be_kept():
    with pytest.raises(ConfigError, match="k"):
        Stingy(0)
