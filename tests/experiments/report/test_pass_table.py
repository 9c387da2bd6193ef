"""The table of pass@k: shown where a cell refines its student, and only there."""

from dataclasses import replace

import polars as pl
import pytest

from experiments.report import write_report
from tests.experiments.measure.test_pass_at_k import table
from tests.experiments.report.cells import one

pytestmark = pytest.mark.usefixtures("without_plots")


def refined(seed, name="permuted"):
    roles = {"student": 16, "distilled": 4, "undefended": 16, "distilled_undefended": 12, "self": 2, "base": 0}
    drawn = [table([16, right, 0, 8], model) for model, right in roles.items()]
    return replace(one(name, None, 0.9, 0.99, seed, "rl", refine="rl"), passes=pl.concat(drawn))


def test_only_cells_that_refine_have_rows(tmp_path):
    plain = [one("none", None, 0.9, 0.99, seed) for seed in (0, 1)]
    report = write_report([*plain, *(refined(seed) for seed in (0, 1))], tmp_path, "refined")
    (found,) = [t for t in report.tables if t.name == "pass_at_k"]
    assert {row["attack"] for row in found.rows} == {"rl"}
    by_when = {row["when"]: row for row in found.rows if row["family"] == "reasoning"}
    alone = ["before any query", "refined without the teacher"]
    assert list(by_when) == ["distilled", "refined", "distilled, undefended", "refined, undefended", *alone]
    assert by_when[alone[1]]["k1"].value == 26 / 64
    several = write_report([refined(0), refined(0, "temperature")], tmp_path, "several")
    (table_of_both,) = [t for t in several.tables if t.name == "pass_at_k"]
    assert sum(row["when"] == alone[0] and row["family"] == "reasoning" for row in table_of_both.rows) == 1
    assert by_when["distilled"]["k1"].value == 28 / 64
    assert by_when["refined"]["k1"].value == 40 / 64
    assert "Pass@k before and after refining" in report.files["md"].read_text()
    assert "S_def_pass_at_16,chain" in report.files["csv"].read_text()
    undefended = write_report([refined(0, "none")], tmp_path, "undefended")
    (found,) = [t for t in undefended.tables if t.name == "pass_at_k"]
    assert {row["when"] for row in found.rows} == {"distilled", "refined", *alone}, "its own twin"
    unrefined = write_report(plain, tmp_path, "plain")
    assert "pass_at_k" not in {t.name for t in unrefined.tables}
    assert "pass_at" not in unrefined.files["csv"].read_text()
