"""The discriminator: its scores are logits of the last place, its step is that of the Bradley-Terry loss, it learns."""

import copy

import numpy as np
import pytest
import torch

from lm.discriminator import Discriminator, bradley_terry, score_losses
from lm.examples import Examples
from lm.ragged import Ragged
from lm.reinforce import _PlainPolicy, policy_recipe
from tests.lm.mini.tiny import tiny

torch.set_num_threads(1)
LM = tiny(3)
RECIPE = policy_recipe(5, 1e-3, clip=0.0)


def rows(said, lm=LM):
    prompts = lm.encode_prompts(
        [f"chain {i % 10} add {i % 7}" if i % 2 else f"chain {i % 10}" for i in range(len(said))]
    )
    tokens = Ragged.of(said)
    n = len(tokens.values)
    channel, weight = np.ones(n, np.uint8), np.ones(n, np.float32)
    return Examples(prompts, tokens, channel, weight, np.arange(len(said)), np.zeros(len(said), bool))


def by_hand(model, data):
    """(B,) tensor, row by row without padding."""
    found = []
    for prompt, said in zip(data.prompts, data.completions, strict=True):
        text = torch.from_numpy(np.concatenate([prompt, said]).astype(np.int64))[None]
        found.append(model(input_ids=text).logits[0, -1, LM.tokenizer.eos_token_id])
    return torch.stack(found)


def test_the_loss_and_its_slopes_are_those_of_autograd():
    rng = np.random.default_rng(0)
    better, worse = rng.standard_normal(3), 3 * rng.standard_normal((3, 4))
    loss, slope_P, slope_PG = bradley_terry(better, worse)
    b, w = (torch.tensor(x, requires_grad=True) for x in (better, worse))
    want = -torch.nn.functional.logsigmoid(b[:, None] - w).mean()
    want.backward()
    assert loss == pytest.approx(want.item())
    np.testing.assert_allclose(slope_P, b.grad, rtol=1e-9)
    np.testing.assert_allclose(slope_PG, w.grad, rtol=1e-9)
    assert np.isfinite(bradley_terry(np.array([1e4]), np.array([[-1e4, 2e4]]))[0])


def test_a_score_is_the_logit_after_the_last_token_whatever_else_is_scored():
    data = rows([[30, 31, 32], [33], [], [34, 35, 36, 37, 38]])
    judge = Discriminator(LM, RECIPE)
    np.testing.assert_allclose(judge.scores(data), by_hand(LM.model, data).detach(), atol=1e-5)
    np.testing.assert_allclose(judge.scores(data.take(np.array([3, 1]))), judge.scores(data)[[3, 1]], atol=1e-5)


@pytest.mark.parametrize("plain", [False, True])
def test_a_step_has_the_gradient_of_the_loss_in_both_programs(plain):
    better, worse = rows([[30, 31], [33]]), rows([[40], [41, 42, 43], [44, 45], [46]])
    worse = Examples.concat([worse.take(np.array([0, 1])), worse.take(np.array([2, 3]))])
    judge, taken = Discriminator(LM, RECIPE), {}
    if plain:
        judge._learner = _PlainPolicy(LM.with_model(copy.deepcopy(LM.model)), RECIPE, score_losses)
        judge._learner._trainer._optimizers = judge._learner._trainer._highest = []
    else:
        judge._learner._optimizer.step = lambda stack, step: taken.update(
            {name: stack.grad(name)[0].clone() for name, _ in LM.model.named_parameters()}
        )
    theirs, own = judge.scores(better), judge.scores(worse).reshape(2, 2)
    _, slope_P, slope_PG = bradley_terry(theirs, own)
    judge.learn(Examples.concat([better, worse]), np.concatenate([slope_P, slope_PG.reshape(-1)]))
    if plain:
        taken = {name: p.grad for name, p in judge._learner.lm.model.named_parameters()}
    model = copy.deepcopy(LM.model)
    apart = by_hand(model, better)[:, None] - by_hand(model, worse).reshape(2, 2)
    (-torch.nn.functional.logsigmoid(apart).mean()).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(taken[name], parameter.grad, atol=2e-5, rtol=1e-3, msg=name)


def test_it_learns_to_tell_what_it_has_not_seen_and_leaves_the_model_given():
    before = {name: t.clone() for name, t in LM.model.state_dict().items()}
    judge, rng = Discriminator(LM, policy_recipe(30, 3e-3)), np.random.default_rng(0)

    def both():
        """Responses that end in one of two words."""
        return (rows([[*rng.integers(40, 60, 3), end] for _ in range(16)]) for end in (30, 31))

    for _ in range(30):
        better, worse = both()
        theirs, own = judge.scores(better), judge.scores(worse)[:, None]
        _, slope_P, slope_PG = bradley_terry(theirs, own)
        judge.learn(Examples.concat([better, worse]), np.concatenate([slope_P, slope_PG[:, 0]]))
    better, worse = both()
    assert (judge.scores(better)[:, None] > judge.scores(worse)).mean() > 0.95
    assert all(torch.equal(before[name], t) for name, t in LM.model.state_dict().items())


def test_without_slopes_nothing_is_learnt():
    judge, data = Discriminator(LM, RECIPE), rows([[30], [31]])
    before = judge.scores(data)
    judge.learn(data, np.zeros(2))
    np.testing.assert_array_equal(judge.scores(data), before)
