"""LoRD: the loss against autograd, the ranking on known changes, what it pays."""

import copy

import numpy as np
import pytest
import torch

from attacks.compute import Compute
from attacks.refine.lord import LoRD, _said, _Two, lord_loss
from configs.errors import ConfigError
from lm.examples import Examples
from lm.ragged import Ragged
from lm.reinforce import _MiniPolicy, policy_recipe
from tests.attacks.refine.test_gad import LM, context, said
from tests.attacks.refine_world import TEXTS, TOKEN, taught, weights
from tests.lm.mini.tiny import tiny

torch.set_num_threads(1)


def formula(better, worse, victim, lam, clip):
    """The docstring's loss in torch."""
    held = (worse - victim).clamp(np.log(1 - clip), np.log(1 + clip))
    return torch.sigmoid(2 * ((1 - lam) * (worse - better) + lam * held))


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.5, 1.0])
def test_loss_and_slopes_are_those_of_autograd(lam):
    mean = 0.3 * np.random.default_rng(0).standard_normal((3, 40)) - 0.5
    loss, slope = lord_loss(mean, lam, 0.2)
    z = torch.tensor(mean, requires_grad=True)
    want = formula(*z, lam, 0.2)
    want.sum().backward()
    np.testing.assert_allclose(loss, want.detach(), rtol=1e-9)
    np.testing.assert_allclose(slope, z.grad, rtol=1e-9, atol=1e-12)
    assert (slope[2] == 0).sum() > 0 or lam == 0, "some are outside the clip"


def rows(lm, said, seed=0):
    n = len(said)
    tokens = Ragged.of(said)
    weight = np.ones(len(tokens.values), np.float32)
    weight[0] = 0  # as of a tool's result
    channel = np.ones(len(weight), np.uint8)
    return Examples(lm.encode_prompts(TEXTS[:n]), tokens, channel, weight, np.arange(n), np.zeros(n, bool))


def test_a_step_has_the_gradient_of_the_loss():
    lm, part = tiny(3, scale=0.05), LoRD(lam=0.4, clip=0.9)
    better, worse = rows(lm, [[30, 31, 32], [33], [34, 35]]), rows(lm, [[36, 37], [38, 39], [34, 35]])
    victim = rows(lm, [[40, 41], [42, 43, 44], [45]])
    policy, taken = _MiniPolicy(lm.with_model(copy.deepcopy(lm.model)), policy_recipe(5, 1e-3, clip=0.0)), {}
    policy._optimizer.step = lambda stack, step: taken.update(
        {name: stack.grad(name)[0].clone() for name, _ in lm.model.named_parameters()}
    )
    loss, learnt = part._learnt(policy.lm, better, worse, victim)
    policy.learn(learnt)
    model, means = copy.deepcopy(lm.model), []
    for data in (better, worse, victim):
        each, at = [], 0
        for prompt, said_now in zip(data.prompts, data.completions, strict=True):
            text = torch.from_numpy(np.concatenate([prompt, said_now]).astype(np.int64))[None]
            logp = model(input_ids=text).logits[0].log_softmax(-1)
            places = [i for i in range(len(said_now)) if data.weight[at + i]]
            each.append(torch.stack([logp[len(prompt) + i - 1, int(said_now[i])] for i in places]).mean())
            at += len(said_now)
        means.append(torch.stack(each))
    want = formula(*means, 0.4, 0.9).mean()
    want.backward()
    assert loss == pytest.approx(want.item(), rel=1e-5)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(taken[name], parameter.grad, atol=2e-6, rtol=1e-3, msg=name)


def test_the_sample_that_rose_more_is_the_better_one_and_cold_ones_give_way():
    victim, first, second = (rows(LM, [[token]] * 4).with_weight(np.ones(4)) for token in (TOKEN, 31, 32))
    (now_1, sure_1), (now_2, _) = (_said(LM, data) for data in (first, second))
    rise_1 = np.array([0.2, 0.1, -0.3, 0.2])
    rise_2 = np.array([0.1, 0.3, -0.2, 0.1])
    two = _Two(first, second, now_1 - rise_1, now_2 - rise_2)

    def ranked(tau_1):
        better, worse = LoRD(tau_1=tau_1, tau_2=-0.1)._ranked(two, LM, victim)
        assert better.item.tolist() == worse.item.tolist() == [0, 1, 2, 3]
        return better.completions.values.tolist(), worse.completions.values.tolist()

    better, worse = ranked(0.0)
    assert better == [31, 32, TOKEN, 31], "the third fell: the victim's answer takes its place"
    assert worse == [32, 31, 31, 32]
    better, worse = ranked(1.0)
    assert better == [TOKEN] * 4, "none is as sure as that"
    assert worse == [32, 31, 31, 32]
    assert (sure_1 < 1).all()


def test_the_student_comes_to_say_what_the_victim_says():
    before = said(LM)
    found = LoRD(periods=4, prompts=8, lr=5e-3).run(context())
    assert said(found.model) > 5 * before
    assert said(LM) == before, "the student given is left as it was"
    assert len(found.curve) == 4 * 3
    assert found.curve[-1] < found.curve[0]


@pytest.mark.parametrize("periods", [1, 2, 4])
def test_draws_and_steps_are_booked(periods):
    ctx = context(max_tokens=4)
    found = LoRD(periods=periods, prompts=7).run(ctx)
    assert ctx.compute.samples == 2 * len(TEXTS) * max(1, periods - 1)
    assert ctx.compute.steps == len(found.curve) == 4 * periods


def test_the_budget_ends_it():
    ctx = context(Compute(samples=21, tokens=10_000, steps=100), max_tokens=4)
    found = LoRD(periods=3, prompts=4).run(ctx)
    assert ctx.compute.samples == 20, "two of each of ten rows; the second draw cannot be paid"
    assert len(found.curve) == 3, "which leaves the first period"
    ctx = context(Compute(steps=5), max_tokens=4)
    assert len(LoRD(periods=3, prompts=8).run(ctx).curve) == ctx.compute.steps == 5
    for compute in (Compute(samples=1), Compute(steps=0)):
        ctx = context(compute)
        found = LoRD().run(ctx)
        assert found.model is LM
        assert not any(ctx.compute.spent.values())


def test_without_rows_the_student_stays():
    ctx = context(data=taught(LM, items=np.array([-1, len(TEXTS)])))
    assert LoRD().run(ctx).model is LM


def test_same_seed_same_weights_and_another_seed_others():
    one, again, other = (
        weights(LoRD(periods=2, prompts=8).run(context(seed=seed, max_tokens=4)).model) for seed in (0, 0, 1)
    )
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("field", [{"periods": 0}, {"prompts": 0}, {"lr": 0.0}, {"lam": 1.1}, {"clip": 1.0}])
def test_impossible_fields_are_refused(field):
    with pytest.raises(ConfigError, match=next(iter(field))):
        LoRD(**field)
