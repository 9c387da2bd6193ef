"""The table of pass@k: shown where a cell refines its student, and only there."""

from dataclasses import replace

import polars as pl
import pytest

from experiments.measure.pass_at_k import ROLES
from experiments.report import write_report
from experiments.report.write import summaries_of
from tests.experiments.measure.test_pass_at_k import table
from tests.experiments.report.cells import one

pytestmark = pytest.mark.usefixtures("without_plots")


def refined(seed, name="permuted"):
    roles = {"student": 16, "distilled": 4, "undefended": 16, "distilled_undefended": 12, "self": 2, "base": 0}
    drawn = [table([16, right, 0, 8], model) for model, right in roles.items()]
    return replace(one(name, None, 0.9, 0.99, seed, "rl", refine="rl"), passes=pl.concat(drawn))


def told(results):
    return {m.name for s in summaries_of(results) for m, q in s.quantities.items() if "pass_at" in m.name and q.known}


def test_the_scores_own_samples_stand_in_only_where_no_seed_has_more_and_at_temperature_1():
    def scored(seed, temperature=1.0):
        cell = one(
            "permuted", None, 0.9, 0.99, seed, "rl", refine="rl", settings={"measure": {"temperature": temperature}}
        )
        return replace(cell, scores={**cell.scores, "distilled": cell.scores["undefended"]})

    assert told([scored(0), scored(1)]) == {
        f"{ROLES[r]}_pass_at_1" for r in ("student", "distilled", "undefended", "self", "base")
    }
    assert told([scored(0, 0.7), scored(1, 0.7)]) == set()
    mixed = [scored(0), replace(scored(1), passes=refined(1).passes)]
    assert "S_def_pass_at_16" in told(mixed), "of the seed that has more"


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
