"""The tuned teacher moves where the knob says, by the gradient of the formula, and stays itself at no strength."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from defenses.base import OwnItems, Preparation, Serving
from defenses.decoding.proxy_delta import PerturbedProxy
from defenses.serving.undistillable import EPSILON, Undistillable, _drawn, _summed
from lm.batch import collate
from lm.directional import holdout_gradient
from lm.mini.tokenizer import build_tokenizer
from teacher.api.schema import Prompts
from tests.defenses.decoding.models import model, traces
from tests.lm.mini.tiny import tiny

TEACHER, BASE = model(seed=1), model(seed=2)
SMALL = {"steps": 2, "prompts": 4, "samples": 4, "items": 12, "traces": 8}


def items(n):
    prompts = traces(n).prompts
    return OwnItems(Prompts((), prompts), np.array(["w"] * n, object), lambda item, text: len(text) % 2 == item % 2)


def context(teacher=TEACHER, base=BASE, own=items):
    return Preparation(teacher, lambda: base, traces, np.random.default_rng(0), items=own)


def served(defense, **given):
    found = context(**given)
    return defense.serve(Serving(found.teacher, prepared=defense.prepare(found)))


def drawn(lm, seed=5):
    return _drawn(lm, items(32), np.repeat(np.arange(32), 8), 16, np.random.default_rng(seed))


def apart(lm):
    """Mean log-ratio to the base of what a model says: its divergence from it."""
    rows, now, _ = drawn(lm)
    return _summed(rows, now - BASE.score(rows.prompts, rows.completions).logprob).mean()


def test_the_knob_takes_the_teacher_away_from_the_base_and_the_anchor_holds_it():
    knob = Undistillable(1.0, beta=0.0, steps=20, prompts=12, samples=8, items=12, traces=8, lr=0.003)
    free, held = served(knob), served(dataclasses.replace(knob, beta=30.0))
    plain, moved, anchored = apart(TEACHER), apart(free), apart(held)
    assert moved > plain + 1, (plain, anchored, moved)
    assert abs(anchored - plain) < 0.5 * (moved - plain)


def test_gain_is_the_sum_of_antidistillations_delta():
    lm = model("gpt2", 2, dtype=torch.float64)
    rows, now, _ = drawn(TEACHER)
    rows = rows.take(np.arange(6))
    found = Undistillable(1.0, "gain")._worth(lm, traces(8))(rows, now[: len(rows.completions.values)])
    proxy = PerturbedProxy(lm, holdout_gradient(lm, traces(8)), EPSILON)
    batch = collate(rows, np.arange(6), 0, torch.device("cpu"))
    each_BT = proxy.every_token(batch).gather(2, batch.target_BT.clamp_min(0)[..., None])[..., 0]
    np.testing.assert_allclose(found, (each_BT * (batch.weight_BT != 0)).sum(1), rtol=1e-3, atol=1e-3)


def test_rewards_are_those_of_the_checker_and_of_the_draw():
    rows, now, right = drawn(TEACHER)
    texts = TEACHER.decode(rows.completions)
    assert right.tolist() == [float(len(text) % 2 == i // 8 % 2) for i, text in enumerate(texts)]
    np.testing.assert_allclose(now, TEACHER.score(rows.prompts, rows.completions).logprob, atol=1e-4)
    assert rows.completions.lengths.max() <= 16


@pytest.mark.parametrize(("teacher", "base"), [(TEACHER, BASE), (tiny(3), tiny(4))], ids=["llama", "mini"])
def test_a_copy_is_served_and_the_teacher_stays(teacher, base):
    before = copy.deepcopy(teacher.model.state_dict())
    defense = Undistillable(1.0, **SMALL)
    prepared, again = (defense.prepare(context(teacher, base)) for _ in range(2))
    assert prepared.keys() == {f"weight.{name}" for name, _ in teacher.model.named_parameters()}
    assert all(torch.equal(tensor, again[name]) for name, tensor in prepared.items())
    lm = defense.serve(Serving(teacher, prepared=prepared))
    assert all(torch.equal(p, prepared[f"weight.{name}"]) for name, p in lm.model.named_parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.model.state_dict().items())
    assert any(not torch.equal(tensor, before[name]) for name, tensor in lm.model.state_dict().items())


def test_no_strength_is_the_teacher_itself():
    assert Undistillable(0.0).prepare(context()) == {}
    assert Undistillable(0.0).serve(Serving(TEACHER)) is TEACHER


def test_refuses_what_it_cannot_tune():
    other = dataclasses.replace(model(), tokenizer=build_tokenizer(tuple(f"v{i}" for i in range(20))))
    with pytest.raises(ConfigError, match="tokenizer"):
        Undistillable(1.0, **SMALL).prepare(context(base=other))
    with pytest.raises(ConfigError, match=r"lr.*diverge"):
        Undistillable(1.0, **{**SMALL, "steps": 8}, lr=1e30).prepare(context())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("eta", -1),
        ("measure", "both"),
        ("beta", -1),
        ("steps", 0),
        ("prompts", 0),
        ("samples", 1),
        ("lr", 0),
        ("items", 0),
    ],
)
def test_refuses_impossible_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        Undistillable(**{"eta": 1.0, field: value})
