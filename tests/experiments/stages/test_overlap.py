"""What is scored is not learnt: an attack that asks held-out prompts gains nothing by it."""

import json
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np
import pytest

from attacks.base import Harvest, Recover
from attacks.client import Harvested
from attacks.recover.clean_mix import CleanMix
from attacks.recover.dedup import Dedup
from experiments.cell_from import cell_from
from experiments.compose.compose import compose_one
from experiments.compose.interning import Interning
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.measure.guards import tripped
from experiments.measure.summary import estimated, summarise
from experiments.stages.loading import model_of
from experiments.stages.overlap import apart, asks_scored
from experiments.stages.prompts import scored_items
from experiments.stages.row import result_of
from experiments.store.store import Store
from lm.examples import Examples, from_arrays
from tests.attacks.world import examples
from tests.experiments.test_cell import TINY

CELL = cell_from(compose_one([*TINY, "attack.harvest.repeats=1"]).config)
TASK = CELL.task


@cache
def scored():
    return [item for split in scored_items(TASK, CELL.measure, CELL.seed).values() for item in split]


@dataclass(frozen=True)
class Asks(Harvest):
    """Asks the first prompts of the pool, then these texts."""

    name: ClassVar[str] = "asks"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "test"
    own_texts: ClassVar[bool] = True

    texts: tuple[str, ...] = ()
    pool: int = 20

    def run(self, client, pool, context):
        items = np.arange(self.pool)
        return client.ask(np.concatenate([items, client.own(self.texts)]) if self.texts else items)


@dataclass(frozen=True)
class AsksUnsaid(Asks):
    """The same, and does not say that it asks texts of its own."""

    name: ClassVar[str] = "asks_unsaid"
    version: ClassVar[int] = 1
    own_texts: ClassVar[bool] = False


@dataclass(frozen=True)
class Again(Recover):
    """Answers every prompt of the attacker's with the answer to the first one, refused ones too."""

    name: ClassVar[str] = "again"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "test"

    def apply(self, data: Examples, context) -> Examples:
        text = context.decode(data)[0]
        items = np.arange(len(context.texts))
        assert not len(context.refused)
        return Examples.concat([data, context.encode(items, [text] * len(items))])


def run(store, harvest, recover=None):
    row = replace(CELL, harvest=harvest, recover=recover or {}).row_stage()
    run_stages(store, row)
    return row


def run_stages(store, *stages):
    outcome = LocalEngine(workers=0).run(
        plan([Wanted(stage, "test") for stage in stages], store), store, SilentDisplay()
    )
    assert not outcome.failures, outcome.failures[0].traceback.read_text()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


def learnt(store, row):
    return store.get(row.student.training_set).arrays("examples")


def test_an_attack_that_asks_the_test_learns_what_it_learns_without(store):
    """Bit for bit: rows, students, and what they score."""
    cheats, honest = run(store, Asks(tuple(item.prompt for item in scored()))), run(store, Asks())
    assert len(store.get(cheats.harvest).meta["own_texts"]) == len(scored()) == 32
    assert store.get(cheats.harvest).meta["asked"] == 52, "he pays for them"
    for name, column in learnt(store, honest).items():
        np.testing.assert_array_equal(learnt(store, cheats)[name], column)
    ours, theirs = (store.get(row.student).arrays("weights") for row in (cheats, honest))
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    for name in ("items", "row"):
        assert store.get(cheats).table(name).height == store.get(honest).table(name).height
    assert store.get(cheats).table("items").equals(store.get(honest).table("items"), null_equal=True)
    told = [result_of(store.get(row)) for row in (cheats, honest)]
    assert [one.cell["overlap_dropped"] for one in told] == [32, 0]
    guards = [{t.guard: t.what for t in tripped(estimated([summarise([one])])[0])} for one in told]
    assert "32 harvested answers" in guards[0]["overlap"]
    assert "overlap" not in guards[1]


def test_one_that_asks_nothing_else_stays_where_it_was(store):
    row = run(store, Asks(tuple(item.prompt for item in scored()), pool=1), {"dedup": Dedup()})
    assert len(scored()) == 32
    assert set(learnt(store, row)["item"].tolist()) == {0}


def test_no_recover_step_brings_them_back(store):
    texts = ("3 +1 +1 +1 +1 ?", *(item.prompt for item in scored()[:5]))
    row = run(store, Asks(texts), {"again": Again()})
    pool = CELL.budget.data
    assert set(learnt(store, row)["item"].tolist()) == {*range(pool), pool}
    assert store.get(row).table("row")["overlap_dropped"].item() == 5


def test_a_file_of_the_attackers_does_not_bring_them_in(store, tmp_path):
    """Of a file's prompts those stay that ask for something else; one that has no others is refused."""
    place, own = tmp_path / "own.jsonl", "3 +1 +1 +1 +1 ?"

    def mixed(*prompts):
        place.write_text("".join(json.dumps({"prompt": p, "response": "# 7"}) + "\n" for p in prompts))
        return replace(CELL, harvest=Asks(), recover={"clean_mix": CleanMix(0.5, str(place))}).row_stage()

    leaking = [item.prompt for item in scored()]
    row = mixed(*leaking, own)
    run_stages(store, row.student.training_set)
    rows = from_arrays(Examples, learnt(store, row))
    added = rows.where(rows.item < 0)
    assert len(added) == 20
    lm = model_of(row.student.training_set.harvest.base, store.get(row.student.training_set.harvest.base))
    assert {text.removeprefix("<s> ") for text in lm.decode(added.prompts)} == {own}
    row = mixed(*leaking)
    graph = plan([Wanted(row.student.training_set, "test")], store)
    (failure,) = LocalEngine(workers=0).run(graph, store, SilentDisplay()).failures
    assert "has no prompt that does not ask for what is scored" in failure.error


def test_other_words_for_a_scored_item_ask_for_it_too():
    chain = next(item for item in scored() if item.family == "chain")
    start, *functions = chain.prompt.split()
    other = " ".join([str((int(start) + 1) % 10), *functions])
    assert asks_scored(TASK, [other, "1 +1 +1 ?", chain.prompt], scored()).tolist() == [True, False, True]
    for family in TASK.families:
        pool = [item.prompt for item in TASK.items("train", family, 100, 0)]
        assert not asks_scored(TASK, pool, scored()).any(), "the pool is of another split"


def test_rows_of_no_item_stay():
    rows = examples([[(1, 1)], [(2, 1)], [(3, 1)]], item=[0, -1, 1])
    assert apart(rows, np.array([False, True])).item.tolist() == [0, -1]
    assert apart(rows, np.array([True, True])).item.tolist() == [-1]


def test_a_harvest_that_does_not_say_so_cannot_ask_texts_of_its_own(tmp_path):
    row = replace(CELL, harvest=AsksUnsaid(("1 +1 ?",)), recover={}).row_stage()
    outcome = LocalEngine(workers=0).run(
        plan([Wanted(row.harvest, "t")], Store(tmp_path)), Store(tmp_path), SilentDisplay()
    )
    assert any("the harvest does not say `own_texts`" in f.traceback.read_text() for f in outcome.failures)


@pytest.mark.parametrize(("harvest", "kept"), [(AsksUnsaid(), True), (Asks(), False)])
def test_what_is_scored_is_in_the_key_where_texts_are_own(harvest, kept):
    one = replace(CELL, harvest=harvest)
    other = replace(one, measure=replace(CELL.measure, heldout=7))
    keys = [cell.row_stage().student.training_set.key for cell in (one, other)]
    assert (keys[0] == keys[1]) == kept


@dataclass(frozen=True)
class Checking(Asks):
    """Asks again what it got wrong."""

    name: ClassVar[str] = "checking"
    version: ClassVar[int] = 1
    own_texts: ClassVar[bool] = False
    checks: ClassVar[bool] = True

    def run(self, client, pool, context):
        got = client.ask(np.arange(self.pool))
        wrong = [item for item in range(self.pool) if context.check(item, "# 0") is False]
        return Harvested.concat([got, client.ask(np.array(wrong, np.int64))])


@dataclass(frozen=True)
class CheckingUnsaid(Checking):
    """The same, and does not say so."""

    name: ClassVar[str] = "checking_unsaid"
    version: ClassVar[int] = 1
    checks: ClassVar[bool] = False


@pytest.mark.parametrize(("harvest", "same"), [(Asks(), True), (Checking(), False)])
def test_what_he_can_check_is_in_the_key_where_a_harvest_checks(harvest, same, monkeypatch):
    def key():
        return replace(CELL, harvest=harvest, interning=Interning()).row_stage().harvest.key

    before = key()
    monkeypatch.setattr(type(TASK), "checkable", ("chain",))
    assert (key() == before) == same


def test_only_a_harvest_that_says_so_has_the_checker(store):
    assert store.get(run(store, Checking()).harvest).meta["asked"] > 20
    row = replace(CELL, harvest=CheckingUnsaid(), recover={}).row_stage()
    outcome = LocalEngine(workers=0).run(plan([Wanted(row.harvest, "t")], store), store, SilentDisplay())
    assert any("says `checks = True`" in f.traceback.read_text() for f in outcome.failures)
