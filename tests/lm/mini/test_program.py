"""The packed program against the ordinary model under autograd, and training in company against training alone."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from lm.batch import collate
from lm.examples import Examples
from lm.mini import program
from lm.mini.fused_attention import LANES, attend, attend_back
from lm.mini.packing import pack
from lm.mini.rotation import rotation
from lm.mini.stack import Stack
from lm.mini.steps_fused import CHUNK
from lm.mini.steps_torch import TorchSteps
from lm.mini.train import Member, stack_size, train_mini, train_stack
from lm.ragged import Ragged
from lm.train import Recipe, epochs, train
from lm.types import Channel
from student.objectives.sft import SFT
from student.objectives.sft_answers import SFTAnswers
from student.objectives.topk_kl import TopKKL
from tests.lm.mini.tiny import tiny


def quiet(done, total, note=""):
    pass


def examples(seed: int, lengths: list[tuple[int, int]], k: int = 0) -> Examples:
    """Random rows of (prompt, completion) lengths; some completion tokens weigh 0 or more than 1."""
    rng = np.random.default_rng(seed)
    prompts = Ragged.of([rng.integers(4, 100, p) for p, _ in lengths])
    completions = Ragged.of([rng.integers(4, 100, c) for _, c in lengths])
    n = len(completions.values)
    weight = rng.choice([0.0, 1.0, 3.0], n, p=[0.2, 0.6, 0.2]).astype(np.float32)
    weight[0] = 1.0
    channel = rng.choice([Channel.TRACE, Channel.ANSWER], n).astype(np.uint8)
    channel[0] = Channel.ANSWER
    tops = np.sort(-rng.exponential(2.0, (n, k)))[:, ::-1].astype(np.float32) - 1 if k else None
    ids = np.stack([rng.permutation(100)[:k] for _ in range(n)]).astype(np.int32) if k else None
    rows = len(lengths)
    return Examples(prompts, completions, channel, weight, np.zeros(rows, np.int64), np.zeros(rows, bool), ids, tops)


ROWS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 20)), min_size=1, max_size=7)


def by_autograd(model, rows):
    model = copy.deepcopy(model)
    batch = collate(rows, np.arange(len(rows)), 0, torch.device("cpu"))
    logits = model(input_ids=batch.input_BT, attention_mask=batch.mask_BT, use_cache=False).logits
    loss = cross_entropy(logits.transpose(1, 2), batch.target_BT, reduction="none")
    ((loss * batch.weight_BT).sum() / batch.weight_BT.sum()).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def by_program(models, parts):
    stack = Stack(models)
    packed = pack(parts, 0, torch.device("cpu"))
    logits, back = program.forward(stack, packed)
    leaf = logits.requires_grad_()
    loss = cross_entropy(leaf.transpose(1, 2), packed.batch.target_BT, reduction="none")
    weight = packed.batch.weight_BT
    ((loss * weight).sum(1) / weight.sum(1)).sum().backward()
    back(leaf.grad)
    return [{name: stack.grad(name)[g] for name, _ in models[0].named_parameters()} for g in range(len(models))]


def assert_same(found, expected):
    for name, grad in expected.items():
        worst = float((found[name] - grad).abs().max())
        assert worst <= 1e-4 * float(grad.abs().max()) + 1e-7, (name, worst)


@given(ROWS, st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_one_model_has_the_gradients_of_autograd(lengths, seed):
    model, rows = tiny(scale=0.1).model, examples(seed, lengths)
    assert_same(by_program([model], [rows])[0], by_autograd(model, rows))


@given(ROWS, ROWS, ROWS, st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_stacked_models_have_each_its_own_gradients(a, b, c, seed):
    models = [tiny(i, scale=0.1).model for i in range(3)]
    parts = [examples(seed + i, lengths) for i, lengths in enumerate((a, b, c))]
    for found, model, rows in zip(by_program(models, parts), models, parts, strict=True):
        assert_same(found, by_autograd(model, rows))


def test_one_model_in_torch_and_long_batches(monkeypatch):
    model, rows = tiny(scale=0.1).model, examples(0, [(8, 30)] * 40)
    assert 2 * CHUNK < 40 * 37  # the feed-forward layer goes through in parts
    compiled = by_program([model], [rows])[0]
    assert_same(compiled, by_autograd(model, rows))
    monkeypatch.setattr(program, "FusedSteps", TorchSteps)
    assert_same(by_program([model], [rows])[0], compiled)


def test_a_head_size_that_the_kernels_do_not_take():
    model, rows = tiny(width=16).model, examples(1, [(3, 9), (2, 4)])
    assert 16 // 4 % LANES
    assert_same(by_program([model], [rows])[0], by_autograd(model, rows))


def test_attention_with_extreme_scores_stays_finite_and_sharp():
    rng = np.random.default_rng(0)
    qkv = rng.normal(size=(20, 3, 8)).astype(np.float32)
    qkv[:, :2] *= 60  # scores of thousands: all weight on one key
    cos, sin = (t.numpy() for t in rotation(20, 4, 1e4))
    start, length = np.array([0]), np.array([20])
    out, lse, by_qkv = np.empty(160, np.float32), np.empty(20, np.float32), np.empty(480, np.float32)
    attend(qkv.reshape(-1), 1, cos, sin, start, length, out, lse)
    attend_back(np.ones(160, np.float32), qkv.reshape(-1), 1, cos, sin, start, length, out, lse, by_qkv)
    assert np.isfinite(out).all()
    assert np.isfinite(by_qkv).all()
    values = qkv[:, 2]
    nearest = np.abs(out.reshape(20, 8)[:, None] - values[None]).max(-1).min(1)
    assert np.median(nearest) < 1e-3


PLAIN = SFT().losses


def member(seed: int, recipe: Recipe, losses=PLAIN, k: int = 0, rows: int = 12) -> Member:
    rng = np.random.default_rng(seed)
    lengths = [(int(a), int(b)) for a, b in zip(rng.integers(1, 8, rows), rng.integers(1, 15, rows), strict=True)]
    batches = epochs(examples(seed, lengths, k), recipe, np.random.default_rng(seed))
    return Member(tiny(seed, scale=0.1).model, batches, losses, recipe)


def weights(model):
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize(
    "extra", [{}, {"clip": 0.0, "weight_decay": 0.1}, {"lr": 0.003, "other_lr": 0.001, "floor": 0.2}]
)
def test_steps_are_those_of_the_plain_loop(optimizer, extra):
    recipe = Recipe(steps=4, batch_size=5, optimizer=optimizer, **extra)
    ours = member(3, recipe)
    plain = copy.deepcopy(ours.model)
    (losses,) = train_mini([ours], 0, quiet)
    again = member(3, recipe)
    expected = train(plain, again.batches, SFT().losses, recipe, 0, quiet)
    np.testing.assert_allclose(losses, expected, rtol=1e-3)
    torch.testing.assert_close(weights(ours.model), weights(plain), atol=3e-4, rtol=1e-2)


RECIPE = Recipe(steps=5, batch_size=4)
COMPANY = (
    lambda: member(1, RECIPE),
    lambda: member(2, replace(RECIPE, steps=2, lr=0.002)),
    lambda: member(3, replace(RECIPE, steps=4, batch_size=9, clip=0.1), SFTAnswers().losses),
    lambda: member(4, replace(RECIPE, warmup=0.5, weight_decay=0.2), TopKKL(temperature=2.0).losses, k=3),
)


def test_a_member_ends_where_it_ends_alone():
    together, alone = [make() for make in COMPANY], [make() for make in COMPANY]
    notes: list[tuple[int, int]] = []
    losses = train_stack(together, 0, lambda done, total, note="": notes.append((done, total)))
    assert notes == [(i + 1, 5) for i in range(5)]
    for one, other, curve in zip(together, alone, losses, strict=True):
        before = weights(other.model).clone()
        (own,) = train_stack([other], 0, quiet)
        assert len(curve) == other.recipe.steps
        np.testing.assert_allclose(curve, own, rtol=1e-2)
        torch.testing.assert_close(weights(one.model), weights(other.model), atol=3e-4, rtol=1e-2)
        assert (weights(other.model) - before).abs().max() > 0.01


def test_on_a_cpu_company_does_not_change_a_bit():
    together, alone = [make() for make in COMPANY], [make() for make in COMPANY]
    notes: list[tuple[int, int]] = []
    train_mini(together, 0, lambda done, total, note="": notes.append((done, total)))
    assert notes == [(i + 1, 16) for i in range(16)]
    for one, other in zip(together, alone, strict=True):
        train_mini([other], 0, quiet)
        assert torch.equal(weights(one.model), weights(other.model))


def test_forced_stacks_of_two_train_everybody():
    together, alone = [make() for make in COMPANY], [make() for make in COMPANY]
    train_mini(together, 0, quiet, size=2)
    for one, other in zip(together, alone, strict=True):
        train_mini([other], 0, quiet)
        torch.testing.assert_close(weights(one.model), weights(other.model), atol=3e-4, rtol=1e-2)


def test_a_stack_holds_what_memory_holds(monkeypatch):
    model = tiny().model
    on_gpu = SimpleNamespace(device=torch.device("cuda"), config=model.config, parameters=model.parameters)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**34))
    sizes = [stack_size([Member(on_gpu, None, PLAIN, RECIPE, tokens)]) for tokens in (500, 1000, 10**9)]
    assert sizes[0] > 1.5 * sizes[1] > 1
    assert sizes[2] == 1
    assert stack_size([member(0, RECIPE)]) == 1


@pytest.mark.parametrize("company", [1, 2])
def test_a_step_with_nothing_to_learn_changes_nothing(company):
    """Empty responses, as of an API that hides all of them, fill whole batches where most are."""
    lm, rows = tiny(1), examples(0, [(3, 0), (4, 0), (2, 5)])
    before = copy.deepcopy(lm.model.state_dict())
    recipe = Recipe(steps=1, batch_size=2, weight_decay=0.0)
    nothing = rows.take(np.array([0, 1]))
    models = [copy.deepcopy(lm.model) for _ in range(company)]
    members = [Member(model, lambda step: nothing, SFT().losses, recipe) for model in models]
    losses = train_stack(members, 0, quiet)
    assert [float(loss[0]) for loss in losses] == [0.0] * company
    assert all(torch.equal(value, before[name]) for model in models for name, value in model.state_dict().items())
