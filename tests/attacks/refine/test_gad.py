"""Adversarial distillation: what it leads to, what it is told, what it pays."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.compute import Compute
from attacks.own_samples import answered
from attacks.refine.gad import GAD
from configs.errors import ConfigError
from lm.ragged import Ragged
from tests.attacks.refine_world import TEXTS, TOKEN, refine_context, taught, weights
from tests.lm.mini.tiny import tiny

torch.set_num_threads(1)
LM = tiny(3, scale=0.02)


def never(item, text):
    raise AssertionError("no checker is asked")


def context(compute=None, seed=0, data=None, max_tokens=1):
    return refine_context(
        never, compute, student=LM, seed=seed, max_tokens=max_tokens, data=taught(LM) if data is None else data
    )


def said(lm):
    """Probability of the teacher's word as the first of a response, mean over prompts."""
    first = lm.score(lm.encode_prompts(TEXTS), Ragged.of([[TOKEN]] * len(TEXTS)))
    return float(np.exp(first.logprob).mean())


SMALL = GAD(steps=3, warmup=2, prompts=5, samples=3)


def test_the_student_comes_to_say_what_the_teacher_says():
    before = said(LM)
    found = GAD(steps=40, warmup=5, prompts=24, samples=16, lr=5e-3, discriminator_lr=5e-3).run(context())
    assert said(found.model) > 0.8 > 0.1 > before
    assert said(LM) == before, "the student given is left as it was"
    assert len(found.curve) == 45
    assert max(found.curve[3:15]) > 0.9, "the discriminator learns to tell them apart"
    assert min(found.curve[-10:]) < 0.6, "and no longer can once the student says the same"


def test_in_the_warm_up_only_the_discriminator_learns():
    ctx = context(Compute(steps=SMALL.warmup))
    before = weights(LM)
    found = SMALL.run(ctx)
    assert all(torch.equal(before[name], t) for name, t in weights(found.model).items())
    assert ctx.compute.steps == len(found.curve) == SMALL.warmup


@settings(max_examples=15, deadline=None)
@given(samples=st.integers(0, 90), tokens=st.integers(0, 300), steps=st.integers(0, 9))
def test_compute_is_never_exceeded(samples, tokens, steps):
    ctx = context(Compute(samples, tokens, steps), max_tokens=4)
    found = SMALL.run(ctx)
    assert ctx.compute.samples <= samples
    assert ctx.compute.tokens <= tokens
    played = max(0, len(found.curve) - SMALL.warmup)
    assert len(found.curve) <= ctx.compute.steps <= len(found.curve) + played <= steps, "each model's steps are booked"


def test_same_seed_same_weights_and_another_seed_others():
    one, again, other = (weights(SMALL.run(context(seed=seed, max_tokens=4)).model) for seed in (0, 0, 1))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_rows_of_other_prompts_or_with_nothing_to_learn_are_left_out():
    data = taught(LM, items=np.array([3, -1, len(TEXTS), 5, 7]))
    data = data.with_weight(np.array([1, 1, 1, 0, 1], np.float32))
    ctx = context(data=data)
    assert answered(ctx).item.tolist() == [3, 7]
    none = context(data=data.take(np.array([1, 2])))
    found = SMALL.run(none)
    assert found.model is LM
    assert not any(none.compute.spent.values())


def test_the_anchor_holds_the_student():
    def moved(kl):
        part = replace(SMALL, steps=20, prompts=24, samples=8, lr=5e-3, kl=kl)
        return said(part.run(context()).model)

    assert moved(0.0) > 1.3 * moved(20.0)


@pytest.mark.parametrize(
    "field", [{"samples": 1}, {"steps": 0}, {"warmup": -1}, {"lr": 0.0}, {"discriminator_lr": 0.0}, {"kl": -1.0}]
)
def test_impossible_fields_are_refused(field):
    with pytest.raises(ConfigError, match=next(iter(field))):
        GAD(**field)
