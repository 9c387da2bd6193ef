"""Antidistillation fingerprinting: what it adds is the gradient of the proxy's green mass, and its test finds it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch.nn.functional import log_softmax

from configs.errors import ConfigError
from defenses.decoding import adfp
from defenses.decoding.adfp import ADFP
from lm.mini.tokenizer import build_tokenizer
from lm.types import Sampling
from tests.defenses.decoding.drawing import (
    SECOND,
    TAU,
    TEACHER,
    Marked,
    assert_batch_says_nothing,
    assert_every_step,
    detection,
    drawn,
    logits,
    processors,
)
from tests.defenses.decoding.models import model

IDS = torch.tensor([[0, 1, 5], [1, 4, 8]])
MARK = ADFP(16.0, key=3)


def green(ids, mark=MARK, secret=5):
    found = adfp.green_tokens(np.array([ids[-2:]]), np.arange(24), mark.gamma, mark.key, secret)
    return torch.from_numpy(found[0])


def by_hand(row, prefix):
    teacher, proxy = logits(TEACHER, prefix), logits(SECOND, prefix).requires_grad_(True)
    (proxy.softmax(-1) * green(prefix)).sum().backward()
    ends = int(teacher.argmax()) in TEACHER.ends
    return log_softmax((teacher + (0 if ends else 16.0) * proxy.grad) / (TAU[row] or 1.0), -1)


def test_every_step_adds_the_gradient_of_the_proxys_green_mass():
    assert_every_step(drawn(processors(MARK, temperature=TAU), TAU), by_hand)


def test_the_end_is_left_where_it_is():
    scores = log_softmax(torch.randn(2, 24, generator=torch.Generator().manual_seed(0)), -1)
    scores[0, 2] = 0.0
    changed = processors(MARK)[0](IDS, scores)
    assert torch.equal(changed[0], scores[0])
    assert not torch.equal(changed[1], scores[1])


def test_nothing_changes_at_strength_zero_and_beyond_the_vocabulary():
    assert processors(ADFP(0.0), second=None) == []
    scores = torch.zeros(2, 28)
    changed = processors(MARK, teacher=model(seed=1, vocab=28))[0](IDS, scores)
    assert (changed[:, 24:] == 0).all()
    assert (changed[:, :24] != 0).any()
    assert processors(MARK, second=model(vocab=28))[0](IDS, torch.zeros(2, 24)).shape == (2, 24)


def test_generation_does_not_depend_on_the_batch():
    assert_batch_says_nothing(MARK, temperature=TAU)


def by_hand_evidence(suspect, said, mark, secret):
    """One context after the other."""
    seen, shares, squares = set(), [], 0.0
    for prompt, answer in zip(*said, strict=True):
        text = [*prompt, *answer]
        for t in range(len(prompt), len(text)):
            context = tuple(int(i) for i in text[t - 2 : t])
            if context in seen:
                continue
            seen.add(context)
            q = logits(suspect, text[:t])[:24].double().softmax(-1)
            shares.append(float((q * green(context, mark, secret)).sum()))
            squares += float((q**2).sum())
    n = len(shares)
    return norm.sf((np.sum(shares) - mark.gamma * n) / np.sqrt(mark.gamma * (1 - mark.gamma) * squares)), n


@pytest.mark.parametrize("block", [2**24, 40])
def test_evidence_is_the_green_share_of_each_context_once(monkeypatch, block):
    """In blocks of rows too, and with a model whose logits are wider than the vocabulary."""
    monkeypatch.setattr(adfp, "NUMBERS_AT_ONCE", block)
    suspect, mark = model(seed=4, vocab=28), ADFP(1.0, 0.4, tokens=9)
    context = detection(suspect, texts=["w1 w2", "w3", "w3 w1 w2", "w1 w2"])
    found = mark.detect(context)
    said = mark.ask(detection(suspect, texts=context.prompts))
    p, n = by_hand_evidence(suspect, said, mark, 5)
    assert found.looked_at == n < len(said.answers.values)
    assert found.p == pytest.approx(p, rel=1e-3)


def test_a_fingerprinted_suspect_is_found_and_others_are_not():
    """A student that learnt the defended distribution itself: its scores are changed as the teacher's were."""

    class Learnt(Marked):
        def score(self, prompts, completions, top_k):
            asking, seeds = Sampling(top_logprobs=top_k), np.arange(len(prompts))
            return self.lm.generate(prompts, asking, seeds, [self.processor], forced=completions)

    mark = ADFP(16.0, tokens=30)
    student = Learnt(TEACHER, mark, 5)
    found = mark.detect(detection(student))
    assert found.p < 1e-8
    assert mark.detect(detection(student, secret=6)).p > 1e-3
    assert dataclasses.replace(mark, key=1).detect(detection(student)).p > 1e-3
    assert mark.detect(detection(TEACHER)).p > 1e-3
    weaker = mark.detect(detection(Learnt(TEACHER, ADFP(4.0), 5)))
    assert found.p < weaker.p


def test_nothing_is_said_of_other_tokens():
    other = dataclasses.replace(model(), tokenizer=build_tokenizer(tuple(f"v{i}" for i in range(20))))
    assert MARK.detect(detection(other)) is None
    with pytest.raises(ConfigError, match=r"adfp.*tokenizer"):
        processors(MARK, second=other)


@pytest.mark.parametrize(("field", "value"), [("lam", -1), ("gamma", 0), ("gamma", 1.0), ("width", 0), ("tokens", 0)])
def test_refuses_impossible_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        ADFP(**{"lam": 1.0, field: value})
