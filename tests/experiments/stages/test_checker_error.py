"""A checker that errs: how often, about what, and in which keys that is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from attacks.base import Recover
from attacks.budget import Budget
from attacks.recover.dedup import Dedup
from attacks.recover.verify_answers import VerifyAnswers
from attacks.refine.gad import GAD
from attacks.refine.rl import RL
from configs.errors import ConfigError
from experiments.cell_from import cell_from
from experiments.compose.compose import compose_one
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.stages.harvest import checker, pool_items
from experiments.store.store import Store
from tests.experiments.stages.test_overlap import Asks, Checking
from tests.experiments.test_cell import TINY

CELL = cell_from(compose_one([*TINY, "attack.harvest.repeats=1"]).config)
TASK = CELL.task
ITEMS, _ = pool_items(TASK, CELL.budget, CELL.seed)
KNOWN = [i for i, item in enumerate(ITEMS) if item.family in TASK.checkable]


def verdicts(error, seed=0, said=None):
    """Of the right answer to every prompt that can be checked, with something behind it each time."""
    check = checker(TASK, ITEMS, Budget(checker_error=error), seed)
    return np.array([check(i, f"{ITEMS[i].reference} {n}") for i in KNOWN for n in range(40)])


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5])
def test_the_share_of_wrong_verdicts_is_the_rate(rate):
    true = verdicts(0.0)
    share = (verdicts(rate) != true).mean()
    assert abs(share - rate) < 4 * np.sqrt(rate * (1 - rate) / len(true))


def test_wrong_verdicts_go_both_ways_and_unknown_stays_unknown():
    check = checker(TASK, ITEMS, Budget(checker_error=0.3), 0)
    sure = checker(TASK, ITEMS, Budget(), 0)
    right, wrong = (
        np.array([(sure(i, text(i)), check(i, text(i))) for i in KNOWN])
        for text in (lambda i: str(ITEMS[i].reference), lambda i: "no answer")
    )
    assert not wrong[:, 0].any()
    assert wrong[:, 1].any()
    assert right[:, 0].any()
    other = next(i for i, item in enumerate(ITEMS) if item.family not in TASK.checkable)
    assert check(other, "x") is check(len(ITEMS), "x") is None


def test_the_same_text_is_judged_the_same_and_other_seeds_err_elsewhere():
    once, again, other = verdicts(0.2), verdicts(0.2), verdicts(0.2, seed=1)
    np.testing.assert_array_equal(once, again)
    true = verdicts(0.0)
    both = ((once != true) & (other != true)).mean()
    assert both < 0.2 * 0.2 * 1.5, "errors of another seed are others"


def test_more_error_keeps_the_errors_there_were():
    true = verdicts(0.0)
    few, many = (verdicts(rate) != true for rate in (0.05, 0.3))
    assert many[few].all()


def keys(error, **parts):
    cell = replace(CELL, budget=replace(CELL.budget, checker_error=error), **parts)
    row = cell.row_stage()
    stages = {"harvest": row.harvest, "training_set": row.student.training_set, "student": row.student}
    return {name: stage.key for name, stage in (stages | ({"refine": row.refined} if row.refined else {})).items()}


@pytest.mark.parametrize(
    ("parts", "first"),
    [
        ({}, None),
        ({"recover": {"dedup": Dedup()}}, None),
        ({"refine": {"gad": GAD()}}, None),
        ({"harvest": Asks()}, None),
        ({"harvest": Checking()}, "harvest"),
        ({"recover": {"verify_answers": VerifyAnswers(), "dedup": Dedup()}}, "training_set"),
        ({"refine": {"rl": RL()}}, "refine"),
        ({"refine": {"rl": RL(), "gad": GAD()}}, "refine"),
    ],
)
def test_it_is_in_the_keys_of_what_uses_the_checker_alone(parts, first):
    """From the first stage that does on, since later ones have it among their inputs."""
    sure, erring, worse = (keys(error, **parts) for error in (0.0, 0.1, 0.2))
    order = list(sure)
    since = len(order) if first is None else order.index(first)
    for at, name in enumerate(order):
        assert (sure[name] == erring[name]) == (erring[name] == worse[name]) == (at < since), name


def test_a_checker_that_is_always_right_is_in_no_key():
    row = replace(CELL, recover={"verify_answers": VerifyAnswers()}, refine={"rl": RL()}).row_stage()
    for stage in (row.harvest, row.student.training_set, row.refined):
        assert "checker_error" not in str(stage.config())


@dataclass(frozen=True)
class Peeks(Recover):
    """Asks the checker, and does not say so."""

    name: ClassVar[str] = "peeks"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "test"
    checks: ClassVar[bool] = False

    def apply(self, data, context):
        context.check(0, "")
        return data


def test_only_a_part_that_says_so_has_the_checker(tmp_path):
    row, store = replace(CELL, recover={"peeks": Peeks()}).row_stage(), Store(tmp_path)
    wanted = [Wanted(row.student.training_set, "t")]
    outcome = LocalEngine(workers=0).run(plan(wanted, store), store, SilentDisplay())
    assert any("attack.recover.checks = False" in f.traceback.read_text() for f in outcome.failures)


@pytest.mark.parametrize("rate", [-0.1, 0.6])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(ConfigError, match=r"budget\.checker_error"):
        Budget(checker_error=rate)
