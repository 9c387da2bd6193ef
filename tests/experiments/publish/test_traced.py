"""A number traced to its run: what a row was made from, and a command that gives the same row."""

from __future__ import annotations

import json
import shlex
import shutil

import polars as pl
import pytest

from configs.errors import ConfigError
from experiments.cell_from import cell_from
from experiments.cli import main
from experiments.compose.compose import compose_one
from experiments.publish.traced import row_named, trace
from experiments.report import write_report
from experiments.stages.row import result_of
from experiments.store.layout import Ref
from experiments.store.maintenance.reach import reach
from experiments.store.store import Store
from experiments.study import open_cell
from tests.experiments.publish.test_paper_artifact import fill
from tests.experiments.store.maintenance.test_lineage import change

EVIL = "x\x1b]8;;http://evil\x1b\\[red]y[/red]"


def test_the_command_makes_the_same_row(tiny_cell, tiny_store):
    store = Store(tiny_store)
    found = trace(store, row_named(store, tiny_cell.key[:8]))
    assert found.command[0] == "run"
    assert "defense=trace_hidden" in found.command
    assert "budget.queries=60" in found.command
    assert open_cell(list(found.command[1:]), tiny_store).key == tiny_cell.key
    assert found.remark == ""


def test_every_stage_is_told_with_what_it_left(tiny_cell, tiny_store):
    found = trace(Store(tiny_store), Store(tiny_store).get(tiny_cell.last))
    assert {stage.ref for stage in found.stages} == reach(tiny_store, [Ref("row", tiny_cell.key)])
    assert found.stages[-1].name == "row"
    names = {stage.name for stage in found.stages}
    assert {"teacher", "base", "student", "harvest_undefended", "scores.self", "generations (shared)"} <= names
    for stage in found.stages:
        place = tiny_store / stage.ref.stage / stage.ref.key
        assert stage.files == {p.name: p.stat().st_size for p in place.iterdir() if p.name != "manifest.json"}
        assert stage.seconds == json.loads((place / "manifest.json").read_text())["seconds"]


def test_the_numbers_are_those_of_the_rows_own_csv(tiny_cell, tiny_store, tmp_path):
    store = Store(tiny_store)
    row = store.get(tiny_cell.last)
    found = trace(store, row).numbers
    report = write_report([result_of(row)], tmp_path, "alone")
    told = pl.read_csv(report.files["csv"], infer_schema_length=None)
    assert {"S_def", "T_clean", "T_def"} <= found.keys()
    for name, by_family in found.items():
        own = told.filter(pl.col("measure") == name, pl.col("decoding").fill_null("greedy") == "greedy")
        own = own.filter(pl.col("grader").fill_null("strict") == "strict")
        values = dict(own.select("family", "value").rows())
        assert by_family == pytest.approx({family: values[family] for family in by_family}), name


def test_as_it_is_typed(tiny_cell, tiny_store, capsys):
    assert main(["trace", tiny_cell.key[:6], f"store={tiny_store}"]) == 0
    shown = capsys.readouterr().out
    assert f"row {tiny_cell.key}" in shown
    assert "checked: this command gives this key" in shown
    assert "numbers of this row alone" in shown
    command = next(line for line in shown.splitlines() if line.startswith("moatbench run "))
    words = shlex.split(command)[2:]
    assert cell_from(compose_one(words).plain).row_stage().key == tiny_cell.key
    assert main(["trace", *words, f"store={tiny_store}", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["key"] == tiny_cell.key
    assert record["origins"][0]["packages"]["torch"]


def test_what_names_no_row_or_several_is_refused_with_the_rows(tmp_path, capsys):
    table = fill(tmp_path)
    store = Store(tmp_path)
    with pytest.raises(ConfigError, match=rf"no row begins; the store has: .*{min(table.rows).key[:12]}"):
        row_named(store, "zz")
    with pytest.raises(ConfigError, match="how 4 rows begin, write more of it"):
        row_named(store, "")
    assert main(["trace", table.rows[0].key[:4], "seed=0", f"store={tmp_path}"]) == 2
    assert "name one key, or the overrides of one cell" in capsys.readouterr().err
    assert main(["trace", f"store={tmp_path}"]) == 2
    assert main(["trace", "seed=77", f"store={tmp_path}"]) == 2
    assert "this cell is not stored" in capsys.readouterr().err


def test_a_row_that_this_version_does_not_make_says_so(tmp_path):
    table = fill(tmp_path)
    store = Store(tmp_path)
    found = trace(store, store.entry(table.rows[0]))
    assert found.command == ()
    assert "no command of this version makes it" in found.remark
    assert len(found.stages) == 3
    assert found.tables == ("main",)


def test_nothing_in_a_store_is_obeyed_by_the_terminal(tiny_cell, tiny_store, tmp_path, capsys):
    shutil.copytree(tiny_store, tmp_path / "store")
    change(tmp_path / "store", Ref("row", tiny_cell.key), cpu=EVIL, git=EVIL, packages={EVIL: EVIL}, written="")
    assert main(["trace", tiny_cell.key[:6], f"store={tmp_path / 'store'}"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[red]y[/red]" in shown
