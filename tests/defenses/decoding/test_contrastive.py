"""Contrastive decoding against softmax([z_T − γ z_P] / τ) over the plausible tokens, taken from the models themselves."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import log_softmax

from configs.errors import ConfigError
from defenses.decoding.contrastive import NEVER, Contrastive
from lm.mini.tokenizer import build_tokenizer
from tests.defenses.decoding.drawing import (
    SECOND,
    TAU,
    TEACHER,
    assert_batch_says_nothing,
    assert_every_step,
    drawn,
    logits,
    processors,
)
from tests.defenses.decoding.models import model

IDS = torch.tensor([[0, 1, 5], [1, 4, 8]])


def by_hand(gamma, alpha):
    def at(row, prefix):
        teacher, second = logits(TEACHER, prefix), logits(SECOND, prefix)
        p = teacher.softmax(-1)
        contrast = (teacher - gamma * second) / (TAU[row] or 1.0)
        plausible = p >= alpha * p.max()
        expected = log_softmax(contrast.masked_fill(~plausible, -torch.inf), -1)
        return expected.masked_fill(~plausible, NEVER)

    return at


@pytest.mark.parametrize(("gamma", "alpha"), [(0.4, 0.1), (1.0, 0.1), (0.7, 0.0), (0.5, 0.6)])
def test_every_step_is_the_contrast_over_plausible_tokens(gamma, alpha):
    found = drawn(processors(Contrastive(gamma, alpha), temperature=TAU), TAU)
    found.top_logprobs[found.top_logprobs < NEVER / 2] = NEVER
    assert_every_step(found, by_hand(gamma, alpha))


def test_nothing_changes_at_strength_zero():
    assert processors(Contrastive(0.0, 0.5), second=None) == []


def test_against_itself_it_is_a_temperature():
    """z_T − γ z_T = (1 − γ) z_T."""
    found = drawn(processors(Contrastive(0.25, 0.0), second=TEACHER))
    assert_every_step(found, lambda r, ids: log_softmax(0.75 * logits(TEACHER, ids), -1), tau=np.ones(4))


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 2), st.floats(0.01, 1), st.integers(0, 1000))
def test_only_plausible_tokens_are_said_and_the_likeliest_always_may_be(gamma, alpha, seed):
    scores = log_softmax(3 * torch.randn(2, 24, generator=torch.Generator().manual_seed(seed)), -1)
    changed = processors(Contrastive(gamma, alpha))[0](IDS, scores)
    plausible = scores - scores.amax(1, keepdim=True) >= np.log(alpha)
    assert ((changed > NEVER) == plausible).all()
    assert (changed.gather(1, scores.argmax(1, keepdim=True)) > NEVER).all()


def test_those_gain_that_the_second_model_finds_unlikely():
    changed = processors(Contrastive(0.5, 0.0))[0](IDS[1:], torch.zeros(1, 24))[0]
    likely = logits(SECOND, IDS[1])
    assert torch.equal(changed.argsort(), likely.argsort(descending=True))


def test_what_another_defense_forbids_stays_forbidden():
    scores = torch.zeros(2, 24)
    scores[:, 7] = -torch.inf
    for alpha in (0.0, 0.1):
        changed = processors(Contrastive(1.0, alpha))[0](IDS, scores)
        assert torch.isneginf(changed[:, 7]).all()
        assert torch.isfinite(changed[:, :7]).all()


def test_tokens_that_the_second_model_does_not_have_are_not_said():
    wide = model(seed=1, vocab=28)
    changed = processors(Contrastive(0.5, 0.0), teacher=wide)[0](IDS, torch.zeros(2, 28))
    assert (changed.softmax(-1)[:, 24:] == 0).all()
    narrow = processors(Contrastive(0.5), second=model(vocab=28))[0](IDS, torch.zeros(2, 24))
    assert torch.isfinite(narrow).all()


def test_generation_does_not_depend_on_the_batch():
    assert_batch_says_nothing(Contrastive(0.6), temperature=TAU)


def test_the_second_model_is_one_that_it_says_it_uses():
    assert Contrastive(0.5).uses == ("proxy",)
    assert Contrastive(0.5, against="student").uses == ("student",)
    with pytest.raises(ConfigError, match=r"against.*teacher"):
        Contrastive(0.5, against="teacher")


def test_refuses_another_tokenizer_and_strengths_out_of_range():
    other = dataclasses.replace(SECOND, tokenizer=build_tokenizer(tuple(f"v{i}" for i in range(20))))
    with pytest.raises(ConfigError, match=r"contrastive.*proxy.*tokenizer"):
        processors(Contrastive(0.5), second=other)
    for field, value in (("gamma", -0.1), ("alpha", 1.1), ("alpha", -0.1)):
        with pytest.raises(ConfigError, match=field):
            Contrastive(**{"gamma": 0.5, field: value})
