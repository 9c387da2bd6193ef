"""One step of every objective in both programs of training, against autograd through the model: the mini models' program on
packed rows, alone and in a cohort of several, and the loop of all other models on padded ones."""

import copy

import numpy as np
import pytest
import torch

from lm.batch import collate
from lm.examples import Examples
from lm.mini.stack import StackOptimizer
from lm.mini.train import Member, train_mini
from lm.ragged import Ragged
from lm.recipe import Recipe
from lm.train import Trainer
from student.objectives.gkd import GKD
from student.objectives.mixture import Mixture, Term
from student.objectives.reverse_topk_kl import ReverseTopKKL
from student.objectives.sft import SFT
from student.objectives.topk_kl import TopKKL
from tests.lm.mini.tiny import tiny

torch.set_num_threads(1)
RECIPE = Recipe(steps=1, clip=0.0)
OBJECTIVES = {
    "topk_kl": TopKKL(2.0, 0.3),
    "gkd": GKD(0.3),
    "reverse_topk_kl": ReverseTopKKL(1.5, 1e-3),
    "mixture": Mixture({"words": Term(0.5, SFT()), "kl": Term(1.0, ReverseTopKKL())}),
}


def rows(lm, seed=0):
    """Three rows with two sold logprobs a token, some missing; two tokens that are not learnt."""
    rng = np.random.default_rng(seed)
    prompts = lm.encode_prompts(["chain 1 add 2", "chain 3", "chain 4 add 5"])
    said = Ragged.of([[30, 31, 32], [33], [34, 35, 36]])
    n, v = len(said.values), lm.vocabulary
    ids = np.argsort(rng.random((n, v)), -1)[:, :2].astype(np.int32)
    logprobs = np.log(rng.dirichlet(np.ones(3), n)[:, :2]).astype(np.float32)
    ids[0, 1], logprobs[0, 1] = -1, -np.inf
    ids[3], logprobs[3] = -1, -np.inf
    logprobs[4] = [0.0, -np.inf]
    weight = np.array([1, 0, 1, 1, 0.5, 0, 1], np.float32)
    return Examples(prompts, said, np.ones(n, np.uint8), weight, np.arange(3), np.zeros(3, bool), ids, logprobs)


def by_autograd(lm, data, objective):
    """The gradient of the objective's loss, row by row through the model."""
    model = copy.deepcopy(lm.model)
    total, weights = 0.0, 0.0
    for row in range(len(data)):
        batch = collate(data, np.array([row]), 0, torch.device("cpu"))
        loss, weight = objective.losses(model(input_ids=batch.input_BT).logits, batch)
        total, weights = total + (loss * weight).sum(), weights + weight.sum()
    (total / weights).backward()
    return {name: p.grad for name, p in model.named_parameters()}


def taken_by(members):
    """Gradients of each member in one step of the mini program."""
    taken = []

    def watched(self, stack, step):
        names = [name for name, _ in members[0].model.named_parameters()]
        taken.extend({name: stack.grad(name)[g].clone() for name in names} for g in range(len(stack)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StackOptimizer, "step", watched)
        train_mini(members, 0, lambda *_: None, size=len(members))
    return taken


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_program_of_mini_models_has_the_gradient_alone_and_in_a_cohort(name):
    lm, objective = tiny(3), OBJECTIVES[name]
    data = [rows(lm), rows(lm, 1)]
    others = [Member(copy.deepcopy(lm.model), lambda _: data[1], SFT().losses, RECIPE) for _ in range(2)]
    member = Member(copy.deepcopy(lm.model), lambda _: data[0], objective.losses, RECIPE)
    want = by_autograd(lm, data[0], objective)
    for members, at in (([member], 0), ([others[0], member, others[1]], 1)):
        for parameter, grad in taken_by(members)[at].items():
            torch.testing.assert_close(grad, want[parameter], atol=2e-5, rtol=1e-3, msg=parameter)


@pytest.mark.parametrize("micro", [10_000, 8])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_loop_of_all_other_models_has_the_gradient(name, micro):
    lm, objective = tiny(3), OBJECTIVES[name]
    data, model = rows(lm), copy.deepcopy(lm.model)
    trainer = Trainer(model, objective.losses, Recipe(steps=1, clip=0.0, micro_tokens=micro), 0)
    trainer._optimizers = trainer._highest = []
    trainer.step(data)
    want = by_autograd(lm, data, objective)
    for parameter, value in model.named_parameters():
        torch.testing.assert_close(value.grad, want[parameter], atol=2e-5, rtol=1e-3, msg=parameter)
