"""What is planned and how the plan is shown; what would not fit into memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.planner import planned
from configs.errors import ConfigError
from experiments.cell_from import cell_from
from experiments.cli import main
from experiments.cli.plan import plan_table, repetitions, summary
from experiments.compose.compose import compose_cells, compose_sweep
from experiments.engine import memory
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan, shared
from experiments.engine.local import LocalEngine
from experiments.engine.memory import Memory, available, needed, require_memory
from experiments.store.store import Store, StoreWarning
from tests.experiments.fakes import Fake
from tests.lm import tiny


def rows(count: int = 3) -> list[Wanted]:
    """Rows that share one root: root → middle_i → row_i."""
    root = Fake("root")
    middles = [Fake(f"middle{i}", {"root": root}) for i in range(count)]
    return [Wanted(Fake(f"row{i}", {"m": m, "r": root}), f"cell {i}") for i, m in enumerate(middles)]


def corrupt(store: Store, stage: Fake) -> None:
    (Path(store.root) / stage.name / stage.key / "row.parquet").write_bytes(b"nothing")


def test_uses_are_counted_by_cell_and_stages_once():
    (found,) = shared(rows()).values()
    assert found.uses == 9
    assert len(found.keys) == 7
    assert shared([]) == {}
    (twice,) = shared([*rows(1), *rows(1)]).values()
    assert twice.uses == len(twice.keys) == 3


def test_the_plan_is_shown_with_what_sharing_saves(tmp_path):
    store = Store(tmp_path / "store")
    LocalEngine(0).run(plan(rows(1), store), store, SilentDisplay())
    graph = plan(rows(), store)
    assert summary(3, graph, 2).startswith(
        "3 cells: 4 stages to do, 2 stored results reused, 2 saved by sharing, about "
    )
    console = Console(record=True, width=100)
    console.print(plan_table(graph))
    lines = [line.replace("│", " ").split() for line in console.export_text().splitlines()]
    assert ["fake", "9", "7", "2", "4"] in [line[:5] for line in lines]
    assert ["all", "9", "7", "2", "4"] in [line[:5] for line in lines]


def test_a_corrupt_row_is_made_again_and_so_is_a_corrupt_input_that_is_used(tmp_path):
    store = Store(tmp_path / "store")
    LocalEngine(0).run(plan(rows(1), store), store, SilentDisplay())
    (row,) = rows(1)
    corrupt(store, row.stage)
    corrupt(store, row.stage.needs["m"])
    fresh = Store(store.root)
    with pytest.warns(StoreWarning):
        graph = plan([row], fresh)
    assert [node.stage for node in graph.nodes.values()] == [row.stage]
    with pytest.warns(StoreWarning):
        outcome = LocalEngine(0).run(graph, fresh, SilentDisplay())
    assert not outcome.failures
    assert Store(store.root).get(row.stage) is not None


def test_what_only_stored_rows_need_is_not_looked_at(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    LocalEngine(0).run(plan(rows(), store), store, SilentDisplay())
    monkeypatch.setattr(Store, "has", lambda *_: pytest.fail("looked below a stored row"))
    assert not plan(rows(), Store(store.root)).nodes


def test_repeated_cells_are_named_and_overlapping_grids_only_counted(elsewhere):
    sweep = compose_sweep(["seed=0,0,1,0"])
    assert [cell.label for cell in sweep.cells] == ["seed=0", "seed=1"]
    assert repetitions(sweep) == ["2 duplicates dropped; a grid repeats seed=0 (3 times)"]
    many = repetitions(compose_sweep(["seed=0,1,2,3,4,5,6,0,1,2,3,4,5,6"]))
    assert many[0].endswith("seed=4 (2 times) and 2 more")
    assert repetitions(compose_sweep([elsewhere, "+experiment=both"])) == [
        "1 cell in more than one grid of the experiment, run once each"
    ]
    assert repetitions(compose_sweep(["seed=0,1"])) == []


@pytest.fixture
def graph(tmp_path):
    (cell,) = compose_cells([])
    return plan([Wanted(cell_from(cell.plain).row_stage(), "cell")], Store(tmp_path / "store"))


def test_memory_grows_with_workers_and_models(graph, monkeypatch, tmp_path):
    one, two = needed(graph, 1).main, needed(graph, 2).main
    assert one < two < 2 * one
    assert needed(graph, 10**6) == needed(graph, len(graph.nodes))
    assert needed(plan([], Store(tmp_path / "other")), 4) == Memory(0)
    monkeypatch.setattr("student.mini.MiniStudent.memory", lambda *_: 10**10)
    assert needed(graph, 2).main - two == pytest.approx(2 * 10**10, rel=0.1)


def test_more_memory_than_there_is_is_refused(graph, monkeypatch):
    fits = needed(graph, 3).main
    monkeypatch.setattr(memory, "available", lambda: Memory(fits, -1))
    require_memory(graph, 3)
    with pytest.raises(
        ConfigError, match=r"--workers = 4: needs at least .* most of it for the .* GB are free: use --workers 3"
    ):
        require_memory(graph, 4)
    monkeypatch.setattr(memory, "available", lambda: Memory(10**6, -1))
    with pytest.raises(ConfigError, match="choose smaller sizes"):
        require_memory(graph, 1)
    monkeypatch.setattr(memory, "available", lambda: Memory(-1, -1))
    require_memory(graph, 10**6)


def test_available_memory_is_known_here_and_in_a_container(tmp_path):
    assert available().main > 10**6
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    assert memory._of_container(tmp_path) == 450
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._of_container(tmp_path) is None


def test_size_of_a_pretrained_model_is_read_from_its_configuration(tmp_path):
    from lm.footprint import footprint_of
    from student.huggingface import HFRecipe, HFStudent
    from teacher.huggingface import HFTeacher

    tiny.save(tmp_path)
    weights = HFTeacher(str(tmp_path)).checkpoint.weight_bytes()
    held = HFTeacher(str(tmp_path)).checkpoint.model().parameters()
    assert weights == sum(p.numel() * p.element_size() for p in held)
    few, many = (HFTeacher(str(tmp_path), batch_tokens=n).memory(None) for n in (1000, 16_000))
    assert weights < few < many
    assert HFTeacher(str(tmp_path), dtype="bfloat16").memory(None) < many
    full, lora = (HFStudent(str(tmp_path), recipe=HFRecipe(training=how)) for how in ("full", "lora"))
    fits = [footprint_of(one.checkpoint, {}).fit(16 * 128, trained, 4) for one, trained in ((full, weights), (lora, 0))]
    assert fits[0] - fits[1] == 3 * weights, "gradients and two moments"
    assert full.memory(None) == max(HFTeacher(str(tmp_path)).memory(None), fits[0])
    whole = footprint_of(lora.checkpoint, {}).fit(4096, weights, 4)
    assert lora.refining_memory(None) == whole > lora.memory(None), "reinforcement learning trains all weights"
    smaller = HFStudent(str(tmp_path), from_scratch={"num_hidden_layers": 1}, recipe=HFRecipe(training="full"))
    assert 0 < smaller.memory(None) < full.memory(None)
    assert HFTeacher("somebody/something").memory(None) == 0


def test_a_dry_run_says_what_is_dropped_and_what_does_not_fit(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", "seed=0,0,1", "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert "1 duplicate dropped; a grid repeats seed=0 (2 times)" in shown.err
    assert "2 cells: 28 stages to do" in shown.err
    assert "different" in shown.out
    monkeypatch.setattr(memory, "available", lambda: Memory(10**6, -1))
    assert main(["sweep", "seed=0,1", "--dry-run", "--workers", "2"]) == 2
    assert "needs at least" in capsys.readouterr().err


def test_planning_is_timed(tmp_path):
    found = planned(10, tmp_path)
    assert found.cells == 10
    assert found.stages == 79
    assert len(found.row()) == 9


def test_unless_asked_for_more_as_many_work_as_memory_is_free_for(graph, monkeypatch):
    monkeypatch.setattr("experiments.engine.local.cores_here", lambda: 4)
    monkeypatch.setattr("experiments.engine.local.has_gpu", lambda: False)
    for free, expected in ((-1, 4), (needed(graph, 4).main, 4), (needed(graph, 4).main - 1, 3), (10**6, 1)):
        monkeypatch.setattr(memory, "available", lambda free=free: Memory(free, -1))
        assert LocalEngine().fitted(graph).width() == expected
        assert LocalEngine(workers=4).fitted(graph).width() == 4, "who asked for four is refused, and told why"
        assert LocalEngine(workers=0).fitted(graph) == LocalEngine(workers=0)


def test_a_run_says_that_memory_is_free_for_fewer(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr("experiments.engine.local.cores_here", lambda: 3)
    monkeypatch.setattr("experiments.engine.local.has_gpu", lambda: False)
    monkeypatch.setattr("experiments.engine.local.workers_that_fit", lambda graph, most: most - 1)
    assert main(["run", "--dry-run", f"store={tmp_path / 'store'}"]) == 0
    told = capfd.readouterr().err
    assert "2 at a time, not 3: memory is free for no more" in told
    assert main(["run", "--dry-run", "--workers", "3", f"store={tmp_path / 'store'}"]) == 0
    assert "at a time, not" not in capfd.readouterr().err
