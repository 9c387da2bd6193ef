"""What is shown while a sweep runs: cells, stages, time left; groups count as what they are."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console
from rich.progress import Progress

from experiments.engine.display import BarDisplay, PlainDisplay
from experiments.engine.graph import StageGraph, Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.engine.remaining import Remaining
from experiments.store.store import Store
from tests.experiments.fakes import Fake, Joins, Raises


def graph(cells: int = 4) -> StageGraph:
    """Students that can run as one, with a row each: 2 stages of 0.1 s a cell, besides the root."""
    root = Fake("root")
    students = [Joins(f"s{i}", {"r": root}) for i in range(cells)]
    return plan([Wanted(Fake(f"row{i}", {"s": s}), f"cell {i}") for i, s in enumerate(students)], Store("/nonexistent"))


def keys(graph: StageGraph, start: str) -> list[str]:
    return [key for key, node in graph.nodes.items() if node.stage.label.startswith(start)]


def test_cells_and_stages_are_counted():
    g = graph()
    clock = Remaining(g, 1)
    assert clock.state() == "0/4 cells, 0/9 stages (0 running)"
    for key in keys(g, "root"):
        clock.finished(key, 0.1)
    clock.started(keys(g, "s"))
    assert clock.state() == "0/4 cells, 1/9 stages (4 running)"
    *done, bad = keys(g, "s")
    for key in done:
        clock.finished(key, 0.1)
    *rows, doomed = keys(g, "row")
    clock.dropped(bad, [doomed])
    clock.finished(rows[0], 0.1)
    assert clock.state() == "1/4 cells, 5/9 stages (0 running, 1 failed, 1 given up)"
    assert not clock.over
    assert clock.left() == pytest.approx(0.2)


def test_time_left_is_expected_time_corrected_by_real_time():
    g = graph()
    clock = Remaining(g, 1)
    assert clock.left() == pytest.approx(0.9)
    clock.finished(
        keys(g, "root")[0], 0.3
    )  # as are the rows, it is a "fake", which takes three times as long as expected
    assert clock.left() == pytest.approx(0.4 + 3 * 0.4)


def test_the_time_of_a_group_is_split_over_its_stages():
    g = graph()
    clock = Remaining(g, 1)
    clock.finished(keys(g, "root")[0], 0.1)
    before = clock.left()
    clock.started(keys(g, "s"))
    time.sleep(0.2)
    assert clock.left() == pytest.approx(before - 0.2, abs=0.05)


def test_a_stage_that_is_put_back_is_open_again():
    g = graph(1)
    clock = Remaining(g, 1)
    before = clock.left()
    clock.started(keys(g, "root"))
    clock.returned(keys(g, "root")[0])
    assert clock.running == 0
    assert clock.left() == pytest.approx(before)
    clock.started(["a key that the graph does not have"])  # an input that was lost and is made again
    clock.finished("a key that the graph does not have", 1.0)
    assert clock.done == 0


def test_time_left_is_cheap_for_ten_thousand_open_stages():
    g = graph(5000)
    clock = Remaining(g, 8)
    start = time.perf_counter()
    for key in keys(g, "s")[:1000]:
        clock.started([key])
        clock.left()
        clock.finished(key, 0.1)
        clock.left()
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize("kind", ["plain", "bars"])
def test_a_run_is_shown_to_its_end(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("experiments.engine.display.PLAIN_SECONDS", 0.0)
    store, text = Store(tmp_path / "store"), io.StringIO()
    root = Fake("root")
    wanted = [Wanted(Fake(f"row{i}", {"s": Joins(f"s{i}", {"r": root})}), f"cell {i}") for i in range(4)]
    wanted.append(Wanted(Fake("doomed", {"bad": Raises("bad")}), "doomed cell"))
    g = plan(wanted, store)
    console = Console(file=text, width=200, force_terminal=kind == "bars")
    if kind == "plain":
        LocalEngine(0, cohort=3).run(g, store, PlainDisplay(g, 1, console))
        shown = text.getvalue()
        assert "joins x3 0/1 working" in shown
        assert "4/5 cells, 9/11 stages (0 running, 1 failed, 1 given up)" in shown.splitlines()[-1]
    else:
        with Progress(console=console) as progress:
            display = BarDisplay(g, 1, progress)
            LocalEngine(0, cohort=3).run(g, store, display)
            assert [task.description for task in progress.tasks] == ["stages"]
            assert "4/5 cells" in progress.tasks[0].fields["note"]
        shown = text.getvalue()
    assert "failed: raises (doomed cell)" in shown
