"""Recover steps with models of the attacker's own: what they have, and what they pay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from attacks.base import Recover
from attacks.compute import Compute
from attacks.refine.rft import RFT
from attacks.refine.rl import RL
from experiments.cell_from import cell_from
from experiments.compose.compose import compose_one
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.store.store import Store
from lm.examples import Examples
from lm.types import Sampling
from student.objectives.sft import SFT
from tests.experiments.test_cell import TINY

CELL = cell_from(compose_one([*TINY, "attack.harvest.repeats=1"]).config)
STEPS = CELL.student.steps


@dataclass(frozen=True)
class Rehearses(Recover):
    """Trains two models, on what came back and on public data of others' prompts, and draws an answer to each prompt."""

    name: ClassVar[str] = "rehearses"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "test"
    trains: ClassVar[bool] = True

    def apply(self, data: Examples, context) -> Examples:
        first, other = context.public(8), context.public(8, 1)
        assert not np.array_equal(first.prompts.values, other.prompts.values), "drawn anew"
        own = context.own(data, SFT())
        one = context.fit(own, objective=SFT())
        two = context.fit(own, start=one, seed=1)
        assert not all(
            np.array_equal(a, b) for a, b in zip(*(m.model.state_dict().values() for m in (one, two)), strict=True)
        )
        asked = [i for i, family in enumerate(context.family) if family == context.family[0]]
        prompts = one.encode_prompts([context.texts[i] for i in asked])
        drawn = context.compute.reserve(len(asked), len(asked) * context.max_tokens)
        answers = two.generate(prompts, Sampling(1.0, context.max_tokens), np.arange(len(asked))).tokens
        drawn.settle(len(answers.values))
        rows = context.rows([context.texts[i] for i in asked], two.decode(answers))
        assert (rows.item == -1).all()
        return Examples.concat([data, rows])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


def run(store, compute, **parts):
    budget = replace(CELL.budget, compute=compute)
    row = replace(CELL, **{"recover": {"rehearses": Rehearses()}, "budget": budget, **parts}).row_stage()
    return row, LocalEngine(workers=0).run(plan([Wanted(row, "test")], store), store, SilentDisplay())


def test_what_models_of_his_own_take_is_his_own_compute(store):
    row, outcome = run(store, Compute())
    assert not outcome.failures, outcome.failures[0].traceback.read_text()
    spent = store.get(row.student.training_set).meta["spent"]
    assert spent["steps"] == 2 * STEPS
    assert 0 < spent["tokens"] <= spent["samples"] * CELL.max_tokens
    table = store.get(row).table("row")
    assert {what: table[f"own_{what}"].item() for what in spent} == spent
    refined, outcome = run(store, Compute(), refine={"rft": RFT(samples=1, rounds=1)})
    assert not outcome.failures, outcome.failures[0].traceback.read_text()
    more = store.get(refined.refined).meta
    assert more["own_steps"] >= spent["steps"]
    assert more["own_samples"] > spent["samples"], "refining goes on counting"


def test_refine_parts_go_one_after_another_on_one_account(store):
    first, second = RFT(samples=1, rounds=1), RL(steps=1, prompts=4, samples=2)
    row, outcome = run(store, Compute(), recover={}, refine={"rft": first, "rl": second})
    assert not outcome.failures, outcome.failures[0].traceback.read_text()
    assert row.refined.student.refine == first, "the second starts from what the first made"
    assert row.refined.student.student is row.student
    before, after = store.get(row.refined.student).meta, store.get(row.refined).meta
    assert before["own_samples"] < after["own_samples"] <= before["own_samples"] + 4 * 2
    assert store.get(row).meta["cell"]["refine"] == "rft+rl"
    turned, _ = run(store, Compute(), recover={}, refine={"rl": second, "rft": first})
    assert turned.refined.key != row.refined.key


def test_what_is_not_there_is_refused(store):
    _, outcome = run(store, Compute(steps=2 * STEPS - 1))
    assert any(f"budget.compute.steps = {2 * STEPS - 1}" in f.traceback.read_text() for f in outcome.failures)


def test_own_compute_is_in_the_key_of_steps_that_train_alone():
    def key(recover, compute):
        cell = replace(CELL, recover=recover, budget=replace(CELL.budget, compute=compute))
        return cell.row_stage().student.training_set.key

    trains = {"rehearses": Rehearses()}
    assert key(trains, Compute()) != key(trains, Compute(samples=5))
    assert key(CELL.recover, Compute()) == key(CELL.recover, Compute(samples=5))
