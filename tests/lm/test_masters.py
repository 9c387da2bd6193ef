"""Weights in half precision learn from steps that are smaller than the distance to their neighbours."""

import pytest
import torch

from lm.masters import Masters
from lm.train import Trainer
from student.huggingface import HFRecipe
from student.objectives.sft import SFT
from tests.lm.test_generate import llama
from tests.lm.test_learnt_logits import ROWS

RECIPE = HFRecipe(steps=40, lr=1e-5, other_lr=1e-5, warmup=0.0, decay=0.0, training="full", micro_tokens=4096)


def trained(dtype, steps=40):
    model = llama().model.to(dtype)
    before = [p.detach().float().clone() for p in model.parameters()]
    trainer = Trainer(model, SFT().losses, RECIPE, 0)
    losses = [trainer.step(ROWS) for _ in range(steps)]
    return model, trainer, before, losses


def test_many_small_steps_move_half_precision_as_far_as_float32():
    """40 steps of 1e-5 are 4e-4 at most; a weight of .1 has its neighbours 5e-4 away, and is moved by none of them alone."""
    far = []
    for dtype in (torch.float32, torch.bfloat16):
        _, trainer, before, _ = trained(dtype)
        kept = trainer.state()
        moved = [(kept[f"weight.{i}"] - b).abs().mean() for i, b in enumerate(before)]
        far.append(float(torch.stack(moved).mean()))
    assert far[1] == pytest.approx(far[0], rel=0.05)


def test_what_is_rounded_follows():
    model, trainer, _, losses = trained(torch.bfloat16)
    kept = trainer.state()
    assert all(torch.equal(p, kept[f"weight.{i}"].bfloat16()) for i, p in enumerate(model.parameters()))
    assert losses[-1] < losses[0]


def test_masters_are_of_half_precision_only_and_hold_what_is_rounded():
    weights = [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16))]
    masters = Masters(weights)
    assert masters.moved[0] is weights[0] is masters.of(weights[0])
    assert masters.of(weights[1]) is masters.moved[1]
    weights[1].grad = torch.ones(2, dtype=torch.bfloat16)
    masters.take_gradients()
    assert weights[1].grad is None
    assert masters.moved[1].grad.dtype == torch.float32
    with torch.no_grad():
        masters.moved[1] += 2**-10
    masters.give_weights()
    assert weights[1].tolist() == [1, 1], "too little to be seen"
    with torch.no_grad():
        masters.moved[1] += 7 * 2**-10
    masters.give_weights()
    assert weights[1].tolist() == [1 + 2**-7] * 2, "and is not lost"


def test_a_fit_of_half_precision_goes_on_where_it_was():
    model, trainer, _, _ = trained(torch.bfloat16, 3)
    kept = {name: value.clone() for name, value in trainer.state().items()}
    wanted = [trainer.step(ROWS) for _ in range(2)]
    other, again, _, _ = trained(torch.bfloat16, 0)
    assert again.restore(kept) == 3
    assert [again.step(ROWS) for _ in range(2)] == wanted
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
