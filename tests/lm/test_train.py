from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from configs.errors import ConfigError
from lm.batch import collate
from lm.from_words import word_examples
from lm.mini.packing import pack
from lm.mini.program import forward
from lm.mini.stack import Stack
from lm.mini.train import Member, _slope
from lm.optim import Muon, orthogonalised
from lm.train import Recipe, _backward, epochs, micro_batches, train
from student.objectives.sft import SFT
from tests.lm.mini.tiny import tiny


def quiet(done, total, note=""):
    pass


def rows(lm, n=32):
    prompts = [f"{i % 10} +4 ?" if i % 2 else "C flip ?" for i in range(n)]
    responses = [f"+4 -> {(i + 4) % 10} # {(i + 4) % 10}" if i % 2 else "# rev ( x )" for i in range(n)]
    return word_examples(lm, prompts, responses)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 8, 32), (2, 32, 8)])
def test_orthogonalisation_against_the_svd(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, vt = torch.linalg.svd(x, full_matrices=False)
    ours = orthogonalised(x)
    values = torch.linalg.svdvals(ours)
    assert values.min() > 0.3
    assert values.max() < 1.3
    alike = torch.nn.functional.cosine_similarity(ours.flatten(1), (u @ vt).flatten(1))
    assert (alike > 0.95).all()


def test_muon_treats_fused_projections_as_separate_matrices():
    g = torch.Generator().manual_seed(0)
    parts = [nn.Parameter(torch.randn(8, 8, generator=g)) for _ in range(3)]
    fused = nn.Parameter(torch.cat([p.detach() for p in parts]))
    grads = [torch.randn(8, 8, generator=g) for _ in range(3)]
    for part, grad in zip(parts, grads, strict=True):
        part.grad = grad
    fused.grad = torch.cat(grads)
    Muon(parts, 0.1).step()
    Muon([fused], 0.1, stacked={id(fused): 3}).step()
    torch.testing.assert_close(fused.detach(), torch.cat([p.detach() for p in parts]))


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_same_seed_same_bits_and_the_loss_falls(optimizer):
    def run():
        lm = tiny(scale=0.0)
        losses = []
        recipe = Recipe(steps=40, batch_size=16, optimizer=optimizer, lr=0.02, other_lr=0.02)
        batches = epochs(rows(lm), recipe, np.random.default_rng(0))
        train(lm.model, batches, SFT().losses, recipe, 0, lambda d, t, note="": losses.append(note))
        return lm.model.state_dict(), float(losses[0].split()[1]), float(losses[-10].split()[1])

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    first, start, end = run()
    second, _, _ = run()
    torch.set_num_threads(threads)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert end < start / 3


def by_surprise(logits, batch):
    """Cross-entropy of which surprising targets count more, prompts and padding too, were they learnt."""
    loss, weight = SFT().losses(logits, batch)
    return loss, (weight + 0.5) * (1 + loss) ** 2


def gradient(losses, micro_tokens, examples):
    """Of one step of the plain loop, by parameter, before anything is done with it."""
    model = tiny(scale=0.1).model
    recipe = Recipe(steps=1, batch_size=len(examples), micro_tokens=micro_tokens)
    _backward(model, examples, losses, recipe, 0, torch.device("cpu"))
    return {name: p.grad for name, p in model.named_parameters()}


def of_the_definition(losses, examples):
    """The gradient of sum(w l) / sum(w) over all targets in one batch."""
    model = tiny(scale=0.1).model
    batch = collate(examples, np.arange(len(examples)), 0, torch.device("cpu"))
    loss, weight = losses(model(input_ids=batch.input_BT, attention_mask=batch.mask_BT).logits, batch)
    learnt = batch.weight_BT != 0
    (loss[learnt] @ weight[learnt].detach() / weight[learnt].detach().sum()).backward()
    return {name: p.grad for name, p in model.named_parameters()}


def of_the_mini_program(losses, examples):
    stack = Stack([tiny(scale=0.1).model])
    packed = pack([examples], 0, torch.device("cpu"))
    logits, back = forward(stack, packed)
    member = Member(stack, lambda _: examples, losses, Recipe())
    back(_slope([member], logits, packed.batch)[1])
    return {name: stack.grad(name)[0] for name, _ in tiny().model.named_parameters()}


@pytest.mark.parametrize("losses", [SFT().losses, by_surprise])
def test_gradients_are_of_the_weighted_mean_whatever_the_micro_batches_and_the_program(losses):
    examples = rows(tiny())
    examples = examples.with_weight(examples.weight * np.tile([0, 1, 3], len(examples.weight))[: len(examples.weight)])
    expected = of_the_definition(losses, examples)
    found = [gradient(losses, micro_tokens, examples) for micro_tokens in (16_384, 60, 20)]
    for grads in (*found, of_the_mini_program(losses, examples)):
        for name, grad in expected.items():
            torch.testing.assert_close(grads[name], grad, atol=1e-5, rtol=1e-3)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60), st.integers(1, 2000))
def test_micro_batches_hold_every_row_once_within_the_limit(lengths, limit):
    array = np.array(lengths)
    parts = micro_batches(array, limit)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(lengths)))
    assert all(len(part) == 1 or len(part) * array[part].max() <= limit for part in parts)


def test_epochs_show_every_row_once_and_balanced_epochs_repeat_short_rows():
    lm = tiny()
    examples = rows(lm, 30)
    marked = type(examples)(**{**examples.__dict__, "item": np.arange(30)})
    batches = epochs(marked, Recipe(batch_size=10), np.random.default_rng(0))
    for _ in range(3):
        assert sorted(np.concatenate([batches(0).item for _ in range(3)]).tolist()) == list(range(30))
    short = word_examples(lm, ["K"] * 10, ["#"] * 10)
    mixed = type(marked).concat([marked, short])
    seen = np.concatenate(
        [b.item for b in map(epochs(mixed, Recipe(balance=True), np.random.default_rng(0)), range(10))]
    )
    assert (seen == -1).mean() > 0.3


def test_the_rate_rises_and_falls():
    rates = [Recipe(steps=100).rate(i) for i in range(100)]
    assert max(rates) == 1.0
    assert rates[0] < 0.5
    assert rates[-1] < 0.05
    assert all(later <= earlier for earlier, later in pairwise(rates[10:]))


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"lr": 0.0}, {"decay": 2.0}, {"clip": -1.0}, {"optimizer": "sgd"}])
def test_recipes_are_checked(wrong):
    with pytest.raises(ConfigError):
        Recipe(**wrong)
