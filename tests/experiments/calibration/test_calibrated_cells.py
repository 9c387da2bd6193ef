"""Calibrations of cells: what is measured on a tiny recipe, and what sweeps make of evaluations that are stored."""

from __future__ import annotations

import json
from types import SimpleNamespace

import polars as pl
import pytest

from configs.build import by_class
from experiments.calibration.calibration import Calibration, UnreachedError, calibration_of
from experiments.calibration.settle import settle
from experiments.cell_from import cell_from
from experiments.cli import main
from experiments.cli.stored_rows import results_of
from experiments.compose.asked import asked_of
from experiments.compose.compose import compose_cells
from experiments.stages.drop import DropStage
from experiments.store.artifact import Artifact
from experiments.store.store import Store
from tests.experiments.test_cell import TINY

TAU = "defense.temperature.tau"


def calibrations(store: Store, *words: str) -> list[Calibration]:
    cells = compose_cells([*TINY, f"store={store.root}", *words])
    return [calibration_of(c.plain, asked) for c in cells if (asked := asked_of(c.plain)) is not None]


def measured(store: Store, one: Calibration, slope: float = 0.25) -> int:
    """Store what the search asks for, as if honest users lost ``slope`` times the way to the strongest, and twice that in
    chain; how many evaluations that took."""
    count = 0
    while (value := one.path(store)[1]) is not None:
        drop = slope * one.strength.position(value)
        rows = [{"family": f, "drop": d, "error": 0.006, "items": 6} for f, d in (("all", drop), ("chain", 2 * drop))]
        store.put(one.stage(value), Artifact(tables={"drop": pl.DataFrame(rows)}))
        count += 1
    return count


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The command on a teacher that knows nothing, so that nothing can cost its users anything; its words and store."""
    place = tmp_path_factory.mktemp("ran")
    words = ["calibrate", *TINY, "defense=random_errors", "drop=0.05", "seed=0", "--workers", "0"]
    words += [f"store={place}/store", f"out={place}/out"]
    assert main(words) == 2
    return words, Store(place / "store")


def test_what_cannot_be_reached_is_said(ran, capsys):
    words, _ = ran
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "defense.random_errors.rate: no strength within [0, 1] costs honest users 5 points" in said
    assert "the largest drop found is 0.0 ± 0.0 points" in said


def test_a_second_call_does_no_stage(ran, capsys):
    words, store = ran
    before = set(store.root.rglob("manifest.json"))
    assert len(list(store.manifests("drop"))) == 1
    main([*words, "drop=0.02"])
    assert "calibration tries" not in capsys.readouterr().err
    assert set(store.root.rglob("manifest.json")) == before
    assert main([*words, "--dry-run"]) == 0
    assert "nothing to do" in capsys.readouterr().err


def test_honest_users_ask_the_providers_items_and_never_held_out_ones(ran):
    _, store = ran
    task = cell_from(compose_cells(TINY)[0].plain).task
    asked = {item for entry in store.entries("honest") for item in entry.table("items")["item"]}
    sides = [set(entry.table("items")["item"]) for entry in store.entries("honest")]
    assert sides == [asked, asked]
    assert len(asked) == 6 * len(task.families)
    heldout = {i.id for f in task.families for i in task.items("heldout", f, 200, 0)}
    assert not asked & heldout
    assert {entry.manifest["config"]["split"] for entry in store.entries("honest")} == {"provider"}


def test_gc_keeps_evaluations(ran, capsys):
    words, store = ran
    assert main(["store", "gc", "--older-than", "0s", *words[-2:]]) == 0
    assert len(list(store.manifests("drop"))) == 1


def test_a_calibrated_cell_is_the_cell_with_the_number_typed(store):
    words = [*TINY, f"store={store.root}", "defense=temperature"]
    (one,) = calibrations(store, *words[len(TINY) :], f"{TAU}=drop:0.05")
    assert 2 <= measured(store, one) <= 8
    (cell,) = settle(compose_cells([*words, f"{TAU}=drop:0.05"])).cells
    found = cell.plain["defense"]["temperature"]["tau"]
    assert found == pytest.approx(1.4, abs=0.03)
    assert float(f"{found:.3g}") == found
    (typed,) = compose_cells([*words, f"{TAU}={found}"])
    assert cell.calibrated == ("drop", 0.05)
    assert typed.identity == cell.identity
    assert cell_from(cell.plain).row_stage().key == cell_from(typed.plain).row_stage().key


def test_one_calibration_serves_all_seeds_and_attacks(store):
    words = [f"store={store.root}", "defense=none,temperature", f"{TAU}=drop:0.02,drop:0.05"]
    grid = [*TINY, *words[:1], "defense=temperature", words[2], "seed=0,1,7", "attack=imitate,clean"]
    before = settle(compose_cells(grid))
    assert not before.cells
    assert [(one.asked.target, waiting) for one, waiting in before.open] == [(0.02, 6), (0.05, 6)]
    assert {one.seeds for one, _ in before.open} == {(0, 1, 2)}
    first = measured(store, before.open[0][0])
    assert measured(store, before.open[1][0]) < first + 5
    after = settle(compose_cells(grid))
    assert (len(after.cells), after.open, len(after.said)) == (12, [], 2)
    assert len({cell.plain["defense"]["temperature"]["tau"] for cell in after.cells}) == 2
    assert "(seeds 0, 1, 2; 6 provider items a family; target 5)" in after.said[1]


def test_a_number_typed_for_some_seeds_is_the_same_configuration(store):
    words = [*TINY, f"store={store.root}", "defense=temperature"]
    (one,) = calibrations(store, *words[len(TINY) :], f"{TAU}=drop:0.05")
    measured(store, one)
    value = one.found(one.path(store)[0]).strength
    cells = compose_cells([*words, f"{TAU}={value}"]) + compose_cells([*words, f"{TAU}=drop:0.05", "seed=0,1"])
    settled = settle(cells).cells
    assert [(cell.plain["seed"], cell.calibrated) for cell in settled] == [(0, ("drop", 0.05)), (1, ("drop", 0.05))]


def test_what_a_calibration_belongs_to(store):
    def key(*more: str) -> tuple[str, float, str]:
        return calibrations(store, "defense=temperature", f"{TAU}=drop:0.05", *more)[0].key

    same = key()
    for other in ("attack=clean", "seed=3", "budget.queries=50", "measure.harder=0"):
        assert (key(other) == same) == (other != "measure.harder=0")
    for other in ("measure.heldout=7", "teacher.recipe.steps=4", "api=text", "task.world=1", "prices.input=2.0"):
        assert key(other) != same


def test_a_family_has_its_own_drop(store):
    (one,) = calibrations(store, "defense=temperature", f"{TAU}=drop:0.05")
    chain = Calibration(one.cell, one.asked, "chain")
    measured(store, chain)
    point = chain.found(chain.path(store)[0])
    assert point.strength == pytest.approx(1.2, abs=0.03)
    assert "drops honest accuracy in chain by" in chain.said(point)


def test_the_row_of_a_calibrated_cell_says_so(store, monkeypatch):
    from experiments.measure.cell_result import CellResult

    (one,) = calibrations(store, "defense=temperature", f"{TAU}=drop:0.05")
    measured(store, one)
    cells = settle(compose_cells([*TINY, f"store={store.root}", "defense=temperature", f"{TAU}=drop:0.05"])).cells
    key = cell_from(cells[0].plain).row_stage().key

    stored = SimpleNamespace(manifest={"key": key}, path=store.root / "row" / key)
    empty = CellResult({"seed": 0, "defense": "x"}, {}, pl.DataFrame(), pl.DataFrame())
    monkeypatch.setattr("experiments.cli.stored_rows.result_of", lambda entry, lineages: empty)
    (result,) = results_of([stored], cells)
    assert result.configuration["calibrated_drop"] == 0.05
    assert result.cell["settings"] == by_class(cell_from(cells[0].plain).resolved), "a row may be older than a field"
    assert results_of([stored], compose_cells([*TINY, "defense=none"])) == [empty]


def test_commands_on_what_is_stored(store, tmp_path, capsys):
    words = [*TINY, f"store={store.root}", f"out={tmp_path}/out", "defense=temperature"]
    assert main(["sweep", *words, f"{TAU}=drop:0.05", "seed=0,1", "--dry-run"]) == 0
    assert f"to be calibrated first: {TAU}=drop:0.05, for 2 cells" in capsys.readouterr().err
    assert main(["show", *words, f"{TAU}=drop:0.05"]) == 2
    assert "is not a number yet" in capsys.readouterr().err
    (one,) = calibrations(store, "defense=temperature", f"{TAU}=drop:0.05")
    measured(store, one)
    assert main(["calibrate", *words, "drop=0.05", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["field"] == TAU
    assert found["drop"] == pytest.approx(0.05, abs=0.003)
    assert found["path"][0]["strength"] == 3.0
    assert main(["calibrate", *words, "drop=0.05"]) == 0
    line = f"{TAU}={found['strength']:g} drops honest accuracy by {100 * found['drop']:.1f} ± 0.6 points"
    assert line in capsys.readouterr().out
    assert main(["sweep", *words, f"{TAU}=drop:0.05", "--dry-run"]) == 0
    shown = capsys.readouterr().err
    assert line in shown
    assert "1 cell: " in shown
    assert main(["show", *words, f"{TAU}=drop:0.05"]) == 0
    assert f"tau: {found['strength']}" in capsys.readouterr().out
    assert main(["calibrate", *words]) == 2
    assert "drop = '': must be given" in capsys.readouterr().err


def test_an_unreachable_value_ends_a_sweep_before_anything_runs(store):
    (one,) = calibrations(store, "defense=temperature", f"{TAU}=drop:0.05")
    measured(store, one, slope=0.01)
    with pytest.raises(UnreachedError, match=r"within \[1, 3\] costs honest users 5 points; the largest .* 1.0 ± 0.6"):
        settle(compose_cells([*TINY, f"store={store.root}", "defense=temperature", f"{TAU}=drop:0.05"]))


def test_a_whole_strength_is_searched_in_whole_numbers(store):
    (one,) = calibrations(store, "defense=query_quota", "defense.query_quota.queries=drop:0.05")
    measured(store, one)
    path, _ = one.path(store)
    assert all(isinstance(point.strength, int) for point in path)
    assert isinstance(one.stage(path[-1].strength), DropStage)


def test_the_strongest_stands_in_where_none_costs_enough(store):
    grid = [*TINY, f"store={store.root}", "defense=temperature", f"{TAU}=drop:0.02,drop:0.05,drop:0.2", "seed=0,1"]
    for one, _ in settle(compose_cells(grid)).open:
        measured(store, one, slope=0.06)
    with pytest.raises(UnreachedError, match=r"no strength within .* costs honest users 20 points"):
        settle(compose_cells(grid))
    found = settle(compose_cells(grid), at_most=True)
    strongest = calibrations(store, *grid[2:])[0].strength.strongest
    drops = {(cell.calibrated, cell.plain["defense"]["temperature"]["tau"] == strongest) for cell in found.cells}
    assert drops == {(("drop", 0.02), False), (("drop", 0.05), False), (None, True)}
    assert found.said[-1].endswith(f"{TAU}={strongest:g} stands in")
