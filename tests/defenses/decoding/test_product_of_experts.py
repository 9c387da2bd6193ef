"""A product of experts against softmax([(1 − γ) z_T + γ z_P] / τ), taken from the models themselves."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax

from configs.errors import ConfigError
from defenses.base import Serving
from defenses.decoding.product_of_experts import ProductOfExperts
from lm.mini.tokenizer import build_tokenizer
from lm.ragged import Ragged
from lm.types import Sampling
from tests.defenses.asking import asked
from tests.defenses.decoding.models import model

TEACHER, STUDENT = model(seed=1), model("gpt2", seed=2)
PROMPTS = Ragged.of([[1, 5, 6], [1, 9], [1, 4, 4, 7, 8], [1, 12, 7]])


def processor(gamma, student=STUDENT, teacher=TEACHER, **columns):
    built = ProductOfExperts(gamma).decode(Serving(teacher, lambda name: student), asked(4, **columns))
    return [] if built is None else [built]


def drawn(processors, temperature=1.0, order=None, most=8):
    order = np.arange(4) if order is None else order
    sampling = Sampling(temperature, most, top_logprobs=24)
    return TEACHER.generate(PROMPTS.take(order), sampling, order + 50, processors)


@torch.no_grad()
def logits(lm, ids):
    return lm.model(input_ids=torch.tensor([ids])).logits[0, -1]


def by_hand(prefix, gamma, tau):
    return log_softmax(((1 - gamma) * logits(TEACHER, prefix) + gamma * logits(STUDENT, prefix)) / tau, -1)


@pytest.mark.parametrize("gamma", [0.3, 0.65, 1.0])
def test_every_step_is_the_product_at_the_clients_temperature(gamma):
    tau = np.array([1.0, 0.5, 1.7, 0.0])
    found = drawn(processor(gamma, temperature=tau), tau)
    assert found.tokens.lengths.max() > 3
    for r, row in enumerate(found.tokens):
        start = found.tokens.offsets[r]
        for t in range(len(row)):
            expected = by_hand([*PROMPTS[r], *row[:t]], gamma, tau[r] or 1.0)
            ids = torch.from_numpy(found.top_ids[start + t].astype(np.int64))
            torch.testing.assert_close(
                torch.from_numpy(found.top_logprobs[start + t]), expected[ids], atol=2e-4, rtol=0
            )
            if tau[r] == 0:
                assert row[t] == int(expected.argmax())


def test_nothing_changes_at_strength_zero():
    plain, defended = drawn([]), drawn(processor(0.0, student=None))
    for name in ("logprob", "top_ids", "top_logprobs"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(defended, name))
    assert plain.tokens.values.tolist() == defended.tokens.values.tolist()


def test_the_teacher_with_itself_is_the_teacher():
    plain, twice = drawn([]), drawn(processor(0.5, student=TEACHER))
    assert plain.tokens.values.tolist() == twice.tokens.values.tolist()
    np.testing.assert_allclose(plain.logprob, twice.logprob, atol=1e-5)


def test_generation_does_not_depend_on_the_batch():
    rows = {}
    for order in (np.arange(4), np.array([2]), np.array([3, 0, 1])):
        found = drawn(processor(0.6), order=order)
        for r, row in zip(order.tolist(), found.tokens, strict=True):
            assert rows.setdefault(r, row.tolist()) == row.tolist()


def test_what_another_defense_forbids_stays_forbidden():
    scores = torch.zeros(2, 24)
    scores[:, 7] = -torch.inf
    ids = torch.tensor([[0, 1, 5], [1, 4, 8]])
    for gamma in (0.5, 1.0):
        changed = processor(gamma)[0](ids, scores)
        assert torch.isneginf(changed[:, 7]).all()
        assert torch.isfinite(changed[:, :7]).all()


def test_tokens_that_the_student_does_not_have_are_not_said():
    wide = model(seed=1, vocab=28)
    changed = processor(0.5, teacher=wide)[0](torch.tensor([[1, 5]]), torch.zeros(1, 28))
    assert (changed.softmax(-1)[:, 24:] == 0).all()
    narrow = processor(0.5, student=model(vocab=28))[0](torch.tensor([[1, 5]]), torch.zeros(1, 24))
    assert torch.isfinite(narrow).all()


def test_refuses_a_student_with_another_tokenizer_and_a_strength_out_of_range():
    other = dataclasses.replace(STUDENT, tokenizer=build_tokenizer(tuple(f"v{i}" for i in range(20))))
    with pytest.raises(ConfigError, match="tokenizer"):
        processor(0.5, student=other)
    for gamma in (-0.1, 1.1):
        with pytest.raises(ConfigError, match="gamma"):
            ProductOfExperts(gamma)
