"""Policy gradients: advantages by hand, both programs of training against autograd through the model."""

import copy

import numpy as np
import pytest
import torch

from lm.examples import Examples
from lm.ragged import Ragged
from lm.recipe import Recipe
from lm.reinforce import (
    EPS,
    _MiniPolicy,
    _PlainPolicy,
    advantages,
    anchored,
    policy_losses,
    policy_recipe,
    stand_ins,
    standing_in,
    weighted_by,
)
from lm.train import Trainer
from tests.lm.mini.tiny import tiny

torch.set_num_threads(1)


def test_advantages_by_hand():
    reward = np.array([[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]], float)
    grpo = advantages(reward)
    sd = np.sqrt(3) / 4
    np.testing.assert_allclose(grpo[0], np.array([0.75, -0.25, -0.25, -0.25]) / (sd + EPS), rtol=1e-6)
    np.testing.assert_allclose(grpo[3], np.array([0.5, 0.5, -0.5, -0.5]) / (0.5 + EPS), rtol=1e-6)
    rloo = advantages(reward, "rloo")
    np.testing.assert_allclose(rloo[0], [1, -1 / 3, -1 / 3, -1 / 3], rtol=1e-6)
    for found in (grpo, rloo):
        assert (found[1:3] == 0).all()
        np.testing.assert_allclose(found.sum(1), 0, atol=1e-6)
    assert (advantages(np.full((2, 3), 0.1)) == 0).all(), "equal up to rounding of the mean"


def rows(lm, advantage=(1.5, -0.5, 0.0, -1.0)):
    prompts = lm.encode_prompts(["chain 1 add 2", "chain 3", "chain 4 add 5", "chain 6"])
    said = Ragged.of([[30, 31, 32], [33], [34, 35], [36, 37]])
    weight = np.array([1, 0, 1, 1, 1, 1, 1, 1], np.float32)
    whole = Examples(prompts, said, np.ones(8, np.uint8), weight, np.arange(4), np.zeros(4, bool))
    return weighted_by(whole, np.array(advantage, np.float32))


def test_rows_carry_their_advantage_and_those_without_go():
    found = rows(tiny(3))
    assert found.item.tolist() == [0, 1, 3]
    assert found.weight.tolist() == [1.5, 0, 1.5, -0.5, -1.0, -1.0]


def gradient(lm, data):
    """By autograd through the model: of −mean over tokens of A · log π, row by row."""
    model = copy.deepcopy(lm.model)
    total, count, at = 0.0, 0, 0
    for prompt, said in zip(data.prompts, data.completions, strict=True):
        text = torch.from_numpy(np.concatenate([prompt, said]).astype(np.int64))[None]
        logp = model(input_ids=text).logits[0].log_softmax(-1)
        for place in range(len(said)):
            weight = float(data.weight[at])
            total = total - weight * logp[len(prompt) + place - 1, int(said[place])]
            count, at = count + (weight != 0), at + 1
    (total / count).backward()
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("width", [32, 24])
def test_the_program_of_training_has_the_gradient_of_the_formula(width):
    lm = tiny(3) if width == 32 else tiny(3, width=width)
    data = rows(lm)
    policy = _MiniPolicy(lm.with_model(copy.deepcopy(lm.model)), policy_recipe(5, 1e-3, clip=0.0))
    taken = {}
    policy._optimizer.step = lambda stack, step: taken.update(
        {name: stack.grad(name)[0].clone() for name, _ in lm.model.named_parameters()}
    )
    policy.learn(data)
    for name, by_formula in gradient(lm, data).items():
        torch.testing.assert_close(taken[name], by_formula, atol=2e-5, rtol=1e-4)


def test_both_programs_take_the_same_steps():
    lm = tiny(3)
    mini, plain = (
        kind(lm.with_model(copy.deepcopy(lm.model)), policy_recipe(5, 1e-3)) for kind in (_MiniPolicy, _PlainPolicy)
    )
    for advantage in ((1.5, -0.5, 0.0, -1.0), (-1.0, -0.5, -1.0, -2.0), (0.0, 1.0, -1.0, 0.0)):
        mini.learn(rows(lm, advantage))
        plain.learn(rows(lm, advantage))
    assert not plain.lm.model.training
    for (name, one), (_, other) in zip(
        mini.lm.model.named_parameters(), plain.lm.model.named_parameters(), strict=True
    ):
        torch.testing.assert_close(one, other, atol=3e-4, rtol=1e-3, msg=name)


def test_micro_batches_of_negative_advantages_are_learnt_too():
    lm = tiny(3)
    data = rows(lm)
    found = []
    for micro in (10_000, 4):
        model = copy.deepcopy(lm.model)
        trainer = Trainer(model, policy_losses, Recipe(micro_tokens=micro, clip=0.0), 0)
        trainer._optimizers = trainer._highest = []
        trainer.step(data)
        found.append({name: p.grad for name, p in model.named_parameters()})
    for name, one in found[0].items():
        torch.testing.assert_close(one, found[1][name], atol=1e-5, rtol=1e-4, msg=name)
        torch.testing.assert_close(one, gradient(lm, data)[name], atol=2e-5, rtol=1e-4, msg=name)


def test_an_anchor_has_the_gradient_of_its_formula():
    """Of −mean over tokens of A·log π − β·(ρ − log ρ − 1), by autograd through the model that drew the rows."""
    lm, other, beta = tiny(3), tiny(4), 0.3
    whole = rows(lm, (1.0, 1.0, 1.0, 1.0))
    whole = whole.with_weight((whole.weight != 0).astype(np.float32))
    advantage = np.array([1.5, -0.5, 0.0, -1.0], np.float32)
    now, before = (m.score(whole.prompts, whole.completions).logprob for m in (lm, other))
    found = gradient(lm, anchored(whole, advantage, now, before, beta))
    model, total, at = copy.deepcopy(lm.model), 0.0, 0
    for row, (prompt, said) in enumerate(zip(whole.prompts, whole.completions, strict=True)):
        text = torch.from_numpy(np.concatenate([prompt, said]).astype(np.int64))[None]
        logp = model(input_ids=text).logits[0].log_softmax(-1)
        for place in range(len(said)):
            if whole.weight[at]:
                own = logp[len(prompt) + place - 1, int(said[place])]
                ratio = torch.exp(float(before[at]) - own)
                total = total - advantage[row] * own + beta * (ratio - torch.log(ratio) - 1)
            at += 1
    (total / np.count_nonzero(whole.weight)).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, atol=2e-5, rtol=1e-3, msg=name)


def test_stand_ins_are_all_of_groups_with_an_advantage_and_a_weighted_draw_of_the_others():
    advantage = np.array([[0.0, 1.0, -1.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    seen = np.zeros(12)
    for seed in range(600):
        rows, times = stand_ins(advantage, 3, np.random.default_rng(seed))
        assert rows[:4].tolist() == [0, 1, 2, 3]
        assert ((rows >= 4) & (rows < 8)).sum() == ((rows >= 8) & (rows < 12)).sum() == 3
        assert len(set(rows.tolist())) == len(rows) == 10
        np.testing.assert_allclose(times, [1] * 4 + [4 / 3] * 6, rtol=1e-6)
        seen[rows] += times
    np.testing.assert_allclose(seen[4:] / 600, 1, atol=0.1)  # four standard errors


def test_the_mean_over_all_draws_of_stand_ins_is_the_gradient_of_all_rows():
    """Every way to draw one of two responses for each of two groups, equally often: exactly the full gradient, although
    the rows differ in length and a row carries tokens that are not learnt."""
    lm, other, beta = tiny(3), tiny(4), 0.3
    prompts = lm.encode_prompts(["chain 1 add 2"] * 2 + ["chain 3"] * 2 + ["chain 4 add 5"] * 2)
    said = Ragged.of([[30, 31, 32], [33], [34, 35], [36, 37, 38, 39], [40], [41, 42]])
    weight = np.ones(13, np.float32)
    weight[1] = 0
    whole = Examples(prompts, said, np.ones(13, np.uint8), weight, np.arange(6), np.zeros(6, bool))
    advantage = np.array([[0.0, 0.0], [1.0, -1.0], [0.0, 0.0]], np.float32)
    now, before = (m.score(whole.prompts, whole.completions).logprob for m in (lm, other))

    def learnt(kept):
        rows, at = whole.take(kept), said.value_index(kept)
        return anchored(rows, advantage.reshape(-1)[kept], now[at], before[at], beta)

    draws = {}
    for seed in range(100):
        kept, times = stand_ins(advantage, 1, np.random.default_rng(seed))
        if tuple(kept) not in draws:
            draws[tuple(kept)] = gradient(lm, standing_in(learnt(kept), times, 12))
    assert len(draws) == 4
    for name, full in gradient(lm, learnt(np.arange(6))).items():
        parts = torch.stack([found[name] for found in draws.values()])
        torch.testing.assert_close(parts.mean(0), full, atol=1e-6, rtol=1e-4, msg=name)
        if name == "lm_head.weight":
            assert (parts - full).abs().max() > 1e-3, "each alone is another one"


def test_an_anchor_s_gradient_is_on_average_that_of_the_divergence():
    """Over all first tokens, each as often as the model says it: the gradient of β · KL(before ‖ now), in closed form."""
    lm, other, beta = tiny(3), tiny(4), 0.3
    every = np.arange(lm.vocabulary)
    prompts = lm.encode_prompts(["chain 1 add 2"]).take(np.zeros(len(every), np.int64))
    said = Ragged.of([[token] for token in every])
    rows = Examples(prompts, said, np.ones(len(every), np.uint8), np.ones(len(every), np.float32), every, every < 0)
    now, before = (m.score(prompts, said).logprob for m in (lm, other))
    pulled = anchored(rows, np.zeros(len(every), np.float32), now, before, beta)
    found = gradient(lm, pulled.with_weight(pulled.weight * np.exp(now) * len(every)))
    model = copy.deepcopy(lm.model)
    logp = model(input_ids=torch.from_numpy(prompts.take(np.array([0])).values.astype(np.int64))[None]).logits[0, -1]
    to = torch.from_numpy(before)
    (beta * (to.exp() * (to - logp.log_softmax(-1))).sum()).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, atol=2e-6, rtol=1e-3, msg=name)
