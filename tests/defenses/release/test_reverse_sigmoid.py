"""Reverse sigmoid: the formula by hand, the simplex, order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from defenses.release.reverse_sigmoid import ReverseSigmoid, reversed_sigmoid
from tests.defenses.release.probs import check, distributions, everything
from tests.defenses.release.responses import VOCAB, make


def by_hand(y, beta, gamma):
    def lowered(p):
        odds = -math.inf if p <= 0 else math.inf if p >= 1 else math.log(p / (1 - p))
        return p - beta * (1 / (1 + math.exp(-gamma * odds)) - 0.5) if odds > -math.inf else p + beta / 2

    raw = [max(lowered(p), 0) for p in y]
    return np.array(raw) * sum(y) / sum(raw)


@settings(max_examples=40)
@given(distributions(), st.sampled_from([0.001, 0.1, 0.7, 1.0]), st.sampled_from([0.1, 0.2, 1.0, 3.0]))
def test_is_the_formula_on_the_simplex(probs, beta, gamma):
    changed = reversed_sigmoid(probs, everything(probs), beta, gamma)
    check(probs, changed)
    np.testing.assert_allclose(changed, [by_hand(y, beta, gamma) for y in probs], atol=1e-12)


@settings(max_examples=40)
@given(distributions(), st.sampled_from([0.1, 0.3, 0.9]))
def test_moderate_strengths_keep_the_first(probs, beta):
    """By the condition that its docstring states, and always at γ = 1."""
    top = probs.argmax(1)
    changed = reversed_sigmoid(probs, everything(probs), beta, 1.0)
    assert (changed[np.arange(len(top)), top] >= changed.max(1) - 1e-12).all()
    changed = reversed_sigmoid(probs, everything(probs), beta, 0.2)
    first = probs.max(1)
    with np.errstate(divide="ignore"):
        odds = np.log(first / (1 - first))
    kept = first - beta * (1 / (1 + np.exp(-0.2 * odds)) - 0.5) >= beta / 2
    assert (changed[np.arange(len(top)), top] >= changed.max(1) - 1e-12)[kept].all()


def test_too_strong_it_lifts_what_is_impossible_above_the_first():
    y = np.array([[0.1] * 10 + [0.0] * 30])
    assert reversed_sigmoid(y, everything(y), 1.0, 0.2).argmax() >= 10


def test_l1_grows_with_beta_and_not_at_all_at_0():
    responses, context = make(k=VOCAB)
    assert ReverseSigmoid(0.0).release(responses, context()) is responses
    truth = np.exp(responses.top_logprobs.astype(float))[responses.channel != 3]
    order = [
        np.abs(reversed_sigmoid(truth, everything(truth), b, 0.2) - truth).sum(1).mean() for b in (0.01, 0.05, 0.3)
    ]
    assert order == sorted(order)
    assert order[0] > 0


def test_what_cannot_be_is_refused():
    for wrong in ({"beta": 1.5}, {"beta": -0.1}, {"beta": 0.1, "gamma": 0.0}):
        with pytest.raises(ConfigError, match="must be"):
            ReverseSigmoid(**wrong)
