"""The table of what honest users lose, in every format."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from experiments.measure.honest_load import load_table
from experiments.report import write_report
from tests.experiments.measure.test_honest_load import accounts, judged
from tests.experiments.report.cells import one

pytestmark = pytest.mark.usefixtures("without_plots")


def cell(name, seed, load, attack="imitate"):
    made = one(name, ("queries", 10.0) if name != "none" else ("", 0.0), 0.5, 0.9, seed, attack)
    return made if load is None else replace(made, honest_load=load)


def test_cells_with_limits_have_rows_and_others_have_none(tmp_path):
    whole = load_table(accounts(), judged())
    cells = [cell("query_quota", seed, whole, attack) for seed in (0, 1) for attack in ("imitate", "clean")]
    cells += [cell("rounding", seed, None) for seed in (0, 1)]
    report = write_report(cells, tmp_path, "limits")
    (table,) = [table for table in report.tables if table.name == "honest_load"]
    assert [row["group"] for row in table.rows] == ["everybody", "hard negatives", "heaviest 1 %", "heaviest 0.1 %"]
    assert {row["attack"] for row in table.rows} == {"any"}, "the attacks make no difference here"
    assert table.rows[0]["load_refused"] == 70 / 1000
    for kind in ("md", "tex"):
        assert "What honest users lose" in report.files[kind].read_text()
    assert "load_refused,everybody" in report.files["csv"].read_text()
    document = json.loads(report.files["json"].read_text())
    assert any(found["name"] == "honest_load" for found in document["tables"])


def test_attacks_that_make_a_difference_are_told_apart(tmp_path):
    whole = load_table(accounts(), judged())
    calm = load_table(accounts().filter(~accounts()["hard"]), judged())
    cells = [cell("linker", 0, whole), cell("linker", 0, calm, "clean")]
    report = write_report(cells, tmp_path, "met")
    (table,) = [table for table in report.tables if table.name == "honest_load"]
    assert {row["attack"] for row in table.rows} == {"imitate", "clean"}


def test_there_is_no_table_without_limits(tmp_path):
    report = write_report([cell("rounding", 0, None)], tmp_path, "none")
    assert "honest_load" not in {table.name for table in report.tables}
