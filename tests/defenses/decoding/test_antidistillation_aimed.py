"""Which model the gradient is of and which one Δ is read off: each by the formula, at the model that is named."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.func import functional_call, jvp
from torch.nn.functional import log_softmax

from configs.errors import ConfigError
from defenses.base import Preparation, Serving, preparation_of
from defenses.decoding.antidistillation import Antidistillation
from defenses.decoding.antidistillation_aimed import AntidistillationAimed
from lm.directional import holdout_gradient
from tests.defenses.asking import asked
from tests.defenses.decoding.models import model, traces

IDS = torch.tensor([[1, 5, 9, 7], [1, 4, 4, 8]])
KINDS = {"proxy": model("gpt2", 0, dtype=torch.float64), "student": model("gpt2", 2, dtype=torch.float64)}
TEACHER = model("gpt2", 1)
SCORES = log_softmax(torch.randn(2, 24, generator=torch.Generator().manual_seed(3)), -1).double()


def served(defense):
    context = Preparation(
        TEACHER, lambda: KINDS["proxy"], lambda n: traces(16), np.random.default_rng(0), model=KINDS.__getitem__
    )
    prepared = defense.prepare(context)
    return defense.decode(Serving(TEACHER, KINDS.__getitem__, prepared), asked(2)), prepared


@pytest.mark.parametrize("gradient", KINDS)
@pytest.mark.parametrize("read", KINDS)
def test_scores_move_along_the_exact_derivative_of_the_model_that_is_read(gradient, read):
    processor, prepared = served(AntidistillationAimed(0.3, 1e-4, gradient=gradient, read=read))
    direction = holdout_gradient(KINDS[gradient], traces(16))
    assert all(torch.equal(prepared[f"grad.{name}"], g) for name, g in direction.items())
    net = KINDS[read].model

    def at(parameters):
        output = functional_call(net, parameters, kwargs={"input_ids": IDS, "use_cache": False})
        return output.logits[:, -1].log_softmax(-1)

    _, exact = jvp(at, ({name: p.detach() for name, p in net.named_parameters()},), (direction,))
    moved = (processor(IDS, SCORES) - SCORES) * float(prepared["scale"]) / 0.3
    torch.testing.assert_close(moved, exact, atol=1e-5, rtol=1e-4)


def test_both_at_the_base_is_antidistillation():
    (plain, first), (aimed, second) = (
        served(kind) for kind in (Antidistillation(0.3), AntidistillationAimed(0.3, gradient="proxy", read="proxy"))
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(plain(IDS, SCORES), aimed(IDS, SCORES))


def test_preparations_are_one_for_all_strengths_and_one_for_each_choice_of_models():
    plain = AntidistillationAimed(0.3)
    assert preparation_of(plain) == preparation_of(dataclasses.replace(plain, lam=0.9))
    choices = [AntidistillationAimed(0.3, gradient=g, read=r) for g in KINDS for r in KINDS]
    found = [preparation_of(one) for one in (*choices, Antidistillation(0.3))]
    assert all(found[i] != found[j] for i in range(5) for j in range(i))


@pytest.mark.parametrize("field", ["gradient", "read"])
def test_refuses_a_model_that_it_does_not_use(field):
    with pytest.raises(ConfigError, match=f"{field}.*teacher.*proxy"):
        AntidistillationAimed(0.3, **{field: "teacher"})
    with pytest.raises(ConfigError, match="lam"):
        AntidistillationAimed(-1)
