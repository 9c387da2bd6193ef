"""Adaptive misinformation: the mixture by hand, the threshold, what the misinformation model is taught."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from defenses.base import Preparation
from defenses.release.adaptive_misinformation import AdaptiveMisinformation, misinformed
from defenses.release.student_reading import student_probs
from lm.types import Channel
from tests.defenses.decoding.models import traces
from tests.defenses.release.responses import VOCAB, DigitFormat, make, student

WRONG = {f"wrong.{name}": p.detach().clone() for name, p in student(9).model.named_parameters()}


def by_token(responses):
    out = np.zeros((len(responses.top_ids), VOCAB))
    rows, columns = np.nonzero(responses.top_ids >= 0)
    out[rows, responses.top_ids[rows, columns]] = np.exp(responses.top_logprobs[rows, columns].astype(float))
    return out


@pytest.mark.parametrize("nu", [5.0, 1000.0])
def test_is_the_mixture(nu):
    responses, context = make(k=VOCAB)
    released = AdaptiveMisinformation(0.3, nu).release(responses, context(prepared=WRONG))
    y, wrong = by_token(responses), student_probs(student(9), responses, context())
    a = 1 / (1 + np.exp(np.clip(nu * (y.max(1) - 0.3), -500, 500)))[:, None]
    part = responses.channel != Channel.TOOL
    np.testing.assert_allclose(by_token(released)[part], ((1 - a) * y + a * wrong)[part], atol=1e-5)
    assert 0.1 < (a[part] > 0.5).mean() < 0.9


def test_a_sure_teacher_is_believed():
    responses, context = make(k=VOCAB)
    released = AdaptiveMisinformation(0.3).release(responses, context(prepared=WRONG))
    sure = np.exp(responses.top_logprobs[:, 0]) > 0.35
    assert sure.any()
    np.testing.assert_allclose(released.top_logprobs[sure, 0], responses.top_logprobs[sure, 0], atol=1e-5)
    assert AdaptiveMisinformation(0.0).release(responses, context(prepared=WRONG)) is responses


def test_everything_that_can_be_wrong_is_taught_wrong():
    responses, _ = make(n=40)
    rows = traces(4)
    values = responses.tokens
    examples = dataclasses.replace(
        rows.take(np.zeros(len(values), np.int64)),
        completions=values,
        channel=responses.channel,
        weight=np.ones(len(values.values), np.float32),
    )
    wrong = misinformed(examples, DigitFormat(), np.random.default_rng(0))
    said = np.isin(responses.channel, (Channel.TRACE, Channel.ANSWER))
    fixed = (values.values % 10 == 9) | (values.values == 2)
    changed = wrong.completions.values != values.values
    np.testing.assert_array_equal(changed, said & ~fixed)


def test_prepares_the_parameters_of_a_model_trained_so():
    taught = student(9)
    asked = []

    def fit(rows, steps=None):
        asked.append((len(rows), steps))
        return taught

    context = Preparation(student(), student, traces, np.random.default_rng(0), fit=fit)
    found = AdaptiveMisinformation(0.5, rows=20, steps=7).prepare(context)
    assert asked == [(20, 7)]
    assert found.keys() == WRONG.keys()
    assert all(torch.equal(found[name], WRONG[name]) for name in WRONG)
    odd = dataclasses.replace(taught, model=torch.nn.Linear(2, 2))
    with pytest.raises(ConfigError, match="beside its base model"):
        AdaptiveMisinformation(0.5).prepare(dataclasses.replace(context, fit=lambda rows, steps=None: odd))


def test_what_cannot_be_is_refused():
    for wrong in ({"tau": 1.2}, {"tau": 0.5, "nu": 0.0}, {"tau": 0.5, "rows": 0}, {"tau": 0.5, "steps": 0}):
        with pytest.raises(ConfigError):
            AdaptiveMisinformation(**wrong)
