"""Strengths of several defenses in one command: a field is set in its own defense's cells alone."""

from __future__ import annotations

import pytest

from configs.errors import ConfigError
from experiments.compose.compose import compose_cells, compose_sweep


def said(*words):
    return [" ".join(w for w in c.overrides if w.startswith("defense")) for c in compose_cells(words)]


def test_each_defense_has_its_own_fields():
    words = ["defense=none,temperature,kgw", "defense.temperature.tau=1.2,1.5", "defense.kgw.delta=1,2", "seed=0,1"]
    assert said(*words[:3]) == [
        "defense=none",
        "defense=temperature defense.temperature.tau=1.2",
        "defense=temperature defense.temperature.tau=1.5",
        "defense=kgw defense.kgw.delta=1",
        "defense=kgw defense.kgw.delta=2",
    ]
    sweep = compose_sweep(words)
    assert len(sweep.cells) == 10
    assert not sweep.repeated
    assert {c.plain["seed"] for c in sweep.cells} == {0, 1}


def test_a_stack_keeps_the_fields_of_its_parts():
    stack = "defense=[token_bucket,kgw],kgw,none"
    assert said(stack, "defense.kgw.delta=1", "defense.token_bucket.requests_per_minute=3") == [
        "defense=[token_bucket,kgw] defense.kgw.delta=1 defense.token_bucket.requests_per_minute=3",
        "defense=kgw defense.kgw.delta=1",
        "defense=none",
    ]


def test_one_defense_and_several_without_fields_stay_one_grid():
    assert said("defense=kgw", "defense.kgw.delta=1,2") == [f"defense=kgw defense.kgw.delta={d}" for d in (1, 2)]
    assert said("defense=none,kgw") == ["defense=none", "defense=kgw"]


def test_a_field_of_no_defense_that_is_named_is_refused():
    with pytest.raises(ConfigError, match="temperature"):
        compose_cells(["defense=none,kgw", "defense.temperature.tau=1.2"])
    with pytest.raises(ConfigError, match="delt"):
        compose_cells(["defense=none,kgw", "defense.kgw.delt=1"])
