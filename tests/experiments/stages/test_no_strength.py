"""At no strength a defense changes not a bit of what the real gateway answers, at whatever hook it acts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from attacks.budget import Budget
from attacks.client import Client
from configs.errors import ConfigError
from defenses.base import hooks_of
from experiments.stages.offer import Offer, ProviderModel, open_gateway
from experiments.store.store import Store
from teacher.api.hooks import HOOKS
from teacher.api.prices import Prices
from teacher.api.schema import Params
from tests.defenses.test_contract import DEFENSES, defense_of
from tests.experiments.stages.test_abilities import EVERYTHING, LM, OTHER, TEXTS, prompts

ROUNDS = {"rounding"}
"""Its harmless end is six digits, which is not all of them."""


def harmless():
    """Every defense at the harmless end of its range, of those that take that value and act while the API answers."""
    for name in DEFENSES:
        defense = defense_of(name)
        strength = type(defense).strength
        if strength is None or name in ROUNDS or not set(hooks_of(defense)) & set(HOOKS[1:]):
            continue
        kind = type(getattr(defense, strength.field))
        try:
            yield name, dataclasses.replace(defense, **{strength.field: kind(strength.harmless)})
        except ConfigError:  # refused: it cannot be had at no strength
            continue


HARMLESS = dict(harmless())


def answers(tmp_path, defenses):
    models = {name: ProviderModel(name, lambda: OTHER) for name in ("proxy", "student")}
    gateway = open_gateway(Offer(EVERYTHING, Prices(), defenses), LM, "teacher", models, {}, Store(tmp_path), 1)
    spent = Budget(queries=100, data=50, hours=1e5)
    client = Client(gateway, prompts(), spent, Params(max_tokens=8), 5, pool=len(TEXTS), encode=LM.encode_prompts)
    items = np.arange(10)
    sampled = client.ask(items, temperature=np.where(items % 2, 1.0, 0.0), n=2, top_logprobs=3)
    return sampled.responses, client.score(items, LM.encode(["first add"] * 10)).responses


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return answers(tmp_path_factory.mktemp("store"), {})


def test_every_kind_of_hook_is_there():
    assert {hook for defense in HARMLESS.values() for hook in hooks_of(defense)} >= {"serve", "decode", "release"}


@pytest.mark.parametrize("name", HARMLESS)
def test_not_a_bit_is_changed(name, plain, tmp_path):
    for one, other in zip(plain, answers(tmp_path, {name: HARMLESS[name]}), strict=True):
        for field in dataclasses.fields(one):
            a, b = getattr(one, field.name), getattr(other, field.name)
            if field.name == "tokens":
                a, b = np.concatenate([a.values, a.offsets]), np.concatenate([b.values, b.offsets])
            np.testing.assert_array_equal(a, b, err_msg=field.name)
