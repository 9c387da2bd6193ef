"""Engines: shared work once, failures kept apart, killed workers, resuming."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import StageGraph, Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.engine.schedule import Schedule
from experiments.store.stage import Stage
from experiments.store.store import Store, StoreWarning
from tests.experiments.fakes import DiesOnce, Fake, Joins, Raises, runs


def rows(marks: Path, sleep: float = 0.0, count: int = 3) -> list[Wanted]:
    """Rows that share one root: root → middle_i → row_i."""
    root = Fake("root", marks=str(marks), sleep=sleep)
    middles = [Fake(f"middle{i}", {"root": root}, str(marks), sleep) for i in range(count)]
    return [Wanted(Fake(f"row{i}", {"m": m, "r": root}, str(marks), sleep), f"cell {i}") for i, m in enumerate(middles)]


def run(wanted: list[Wanted], store: Store, workers: int = 0):
    return LocalEngine(workers).run(plan(wanted, store), store, SilentDisplay())


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def test_shared_stages_are_done_once_and_a_second_run_does_nothing(tmp_path, marks):
    store = Store(tmp_path / "store")
    outcome = run(rows(marks), store)
    assert outcome.done == 7
    assert not outcome.failures
    assert set(runs(marks).values()) == {1}
    again = run(rows(marks), Store(store.root))
    assert again.done == 0
    assert set(runs(marks).values()) == {1}


def test_an_enlarged_grid_runs_only_the_difference(tmp_path, marks):
    store = Store(tmp_path / "store")
    run(rows(marks, count=2), store)
    graph = plan(rows(marks, count=3), store)
    assert sorted(n.stage.label for n in graph.nodes.values()) == ["middle2", "row2"]
    assert len(graph.reused) == 3  # two rows and the root
    assert graph.seconds(1) == pytest.approx(sum(n.seconds for n in graph.nodes.values()))


def test_rows_come_early(tmp_path, marks):
    seen = []
    store = Store(tmp_path / "store")
    graph = plan(rows(marks), store)
    finished: list[str] = []
    display = SilentDisplay()
    display.finished = lambda key, seconds: finished.append(graph.nodes[key].stage.label)  # type: ignore[method-assign]
    LocalEngine(0).run(graph, store, display, lambda w: seen.append(w.label))
    assert finished == ["root", "middle0", "row0", "middle1", "row1", "middle2", "row2"]
    assert seen == ["cell 0", "cell 1", "cell 2"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failure_stops_only_what_depends_on_it(tmp_path, marks, workers):
    bad = Raises("bad", marks=str(marks))
    wanted = [*rows(marks), Wanted(Fake("doomed", {"bad": bad}, str(marks)), "doomed cell")]
    store = Store(tmp_path / "store")
    outcome = run(wanted, store, workers)
    assert outcome.done == 7
    (failure,) = outcome.failures
    assert (failure.stage, failure.label) == ("raises", "doomed cell")
    assert "no luck with bad" in failure.error
    assert len(outcome.blocked) == 1
    text = failure.traceback.read_text()
    assert "Traceback" in text
    assert "doomed cell" in text
    assert "doomed" not in runs(marks)


def test_a_killed_worker_is_tried_once_more_then_its_stage_fails_alone(tmp_path, marks):
    said: list[str] = []
    display = SilentDisplay()
    display.said = said.append  # type: ignore[method-assign]
    store = Store(tmp_path / "store")
    dies = DiesOnce("dies", marks=str(marks))
    always = DiesOnce("always", marks=str(marks), always=True)
    wanted = [Wanted(Fake("after", {"d": dies}, str(marks)), "a"), Wanted(always, "b"), *rows(marks)]
    outcome = LocalEngine(2).run(plan(wanted, store), store, display)
    (failure,) = outcome.failures
    assert failure.label == "b"
    assert "SIGKILL, 2 times" in failure.error
    assert outcome.done == 9
    assert sum("SIGKILL" in text for text in said) == 2


def test_a_corrupt_input_is_made_again(tmp_path, marks):
    store = Store(tmp_path / "store")
    run(rows(marks, count=1), store)
    wanted = rows(marks, count=2)
    graph = plan(wanted, store)  # relies on the stored root
    root = store.get(wanted[0].stage.inputs()["r"])
    (root.path / "data.safetensors").write_bytes(b"damaged")
    outcome = LocalEngine(1).run(graph, store, SilentDisplay())
    assert not outcome.failures
    assert runs(marks)["root"] == 2


def test_a_corrupt_wanted_row_is_planned_again(tmp_path, marks):
    store = Store(tmp_path / "store")
    run(rows(marks), store)
    place = store.get(rows(marks)[1].stage).path
    (place / "row.parquet").write_bytes(b"x")
    with pytest.warns(StoreWarning, match=r"row\.parquet has 1 bytes"):
        graph = plan(rows(marks), Store(store.root))
    assert [n.stage.label for n in graph.nodes.values()] == ["row1"]


def test_negative_workers_are_refused():
    with pytest.raises(ConfigError, match="workers"):
        LocalEngine(-1)


def snapshot(store: Store, wanted: list[Wanted]) -> list[tuple[bytes, bytes]]:
    found = [store.get(w.stage) for w in wanted]
    return [((e.path / "data.safetensors").read_bytes(), (e.path / "row.parquet").read_bytes()) for e in found]


def test_interrupt_ends_workers_and_leaves_the_store_clean(tmp_path, marks):
    class Interrupts(SilentDisplay):
        def progressed(self, key: str, done: int, total: int, note: str) -> None:
            raise KeyboardInterrupt

    store = Store(tmp_path / "store")
    graph: StageGraph = plan(rows(marks, sleep=30), store)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        LocalEngine(2).run(graph, store, Interrupts())
    assert time.monotonic() - start < 25
    assert not multiprocessing.active_children()
    assert not list(store.root.glob("*/.tmp-*"))


def test_critical_chain_goes_first(tmp_path, marks):
    class Long(Fake):
        name = "long"
        seconds = 100.0

    long: Stage = Long("long", marks=str(marks))
    wanted = [*rows(marks), Wanted(Fake("last", {"l": long}, str(marks)), "last")]
    store = Store(tmp_path / "store")
    schedule = Schedule(plan(wanted, store), store, 2, SilentDisplay(), lambda _: None)
    assert [schedule.next()[0].stage.label for _ in range(2)] == ["long", "root"]


@pytest.mark.parametrize("workers", [0, 2])
def test_stages_of_one_company_run_as_one_and_give_what_each_gives_alone(tmp_path, marks, workers):
    def wanted(marks: str) -> list[Wanted]:
        joined = [Joins(f"s{i}", marks=marks) for i in range(5)]
        return [Wanted(Fake(f"row{i}", {"s": s}), f"cell {i}") for i, s in enumerate(joined)]

    alone, together = Store(tmp_path / "alone"), Store(tmp_path / "together")
    run(wanted(""), alone)
    outcome = LocalEngine(workers, cohort=3).run(plan(wanted(str(marks)), together), together, SilentDisplay())
    assert outcome.done == 10
    assert {name: n for name, n in runs(marks).items() if name.startswith("group")} == {"group3": 1, "group2": 1}
    assert snapshot(alone, wanted("")) == snapshot(together, wanted(""))


def test_a_member_that_raises_is_found_and_the_others_are_done(tmp_path, marks):
    stages = [Joins(label, marks=str(marks)) for label in ("a", "bad", "c")]
    store = Store(tmp_path / "store")
    wanted = [Wanted(s, s.label) for s in stages]
    outcome = LocalEngine(0, cohort=8).run(plan(wanted, store), store, SilentDisplay())
    assert [f.label for f in outcome.failures] == ["bad"]
    assert outcome.done == 2


@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_any_graph_is_run_completely_and_in_order(count, cohort, seed):
    rng = random.Random(seed)
    stages: list[Stage] = []
    for i in range(count):
        kind = rng.choice([Fake, Joins])
        chosen = rng.sample(stages, min(len(stages), rng.randint(0, 3)))
        stages.append(kind(f"n{i}", {str(j): s for j, s in enumerate(chosen)}))
    nowhere = Store("/nonexistent")
    graph = plan([Wanted(s, s.label) for s in stages], nowhere)
    schedule = Schedule(graph, nowhere, 2, SilentDisplay(), lambda _: None, cohort)
    done: set[str] = set()
    while group := schedule.next():
        assert len(group) <= cohort
        assert len({(n.stage.name, n.stage.cohort_key()) for n in group}) == 1
        for node in group:
            assert {s.key for s in node.stage.inputs().values()} <= done
        for node in group:
            schedule.finished(node.stage.key, 0.0)
            done.add(node.stage.key)
    assert not schedule
    assert len(done) == count


def test_an_engine_can_be_warmed_before_there_is_anything_to_do(tmp_path, marks):
    engine = LocalEngine(2)
    engine.warm()
    store = Store(tmp_path / "store")
    outcome = engine.run(plan(rows(marks), store), store, SilentDisplay())
    assert outcome.done == 7
    LocalEngine(0).warm()
