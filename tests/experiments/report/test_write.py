"""Whole reports: files, determinism, what the tables hold, cells in which something is missing."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from io import StringIO

import polars as pl
import pytest
from rich.console import Console

from configs.errors import MoatBenchError
from experiments.claims.reporting import claims_of
from experiments.measure.matched import CHORD, INTERPOLATED
from experiments.report import write_report
from experiments.report.reference import Reference
from tests.experiments.report.cells import grid, one

TEXTS = ("md", "csv", "tex", "page", "json")


def tables(report):
    return {table.name: table for table in report.tables}


def test_files(report):
    assert set(report.files) == {*TEXTS, "png", "pdf"}
    assert all(path.stat().st_size > 500 for path in report.files.values())
    names = [table.name for table in report.tables]
    assert names == ["main", "claims", "hidden_trace", "matched", "worst", "quality", "evidence"]


def test_same_rows_in_any_order_give_the_same_bytes(report, tmp_path):
    cells = grid()
    random.Random(3).shuffle(cells)
    again = write_report(cells, tmp_path, "quick", Reference("antidistillation"), claims_of())
    for kind in TEXTS:
        assert again.files[kind].read_bytes() == report.files[kind].read_bytes(), kind


def test_one_row_per_defense_and_attack(report):
    rows = tables(report)["main"].rows
    assert len(rows) == 20
    assert rows[0]["defense"] == "none"
    assert len({(row["defense"], row["attack"]) for row in rows}) == 20
    quota = next(row for row in rows if row["defense"] == "query_quota")
    assert quota["queries accepted"] == 300
    assert 0 < quota["refusals"] < 0.1
    assert next(row for row in rows if row["defense"] == "token_bucket")["wait"] == pytest.approx(12.5)


@pytest.mark.parametrize("width", [100, 120, 160])
def test_terminal_fits(report, width):
    out = StringIO()
    report.terminal(Console(file=out, width=width))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines), "nothing is cut"
    text = out.getvalue()
    for word in (
        "antidistillation",
        "trace_hidden",
        "reasoning",
        "honest",
        "cost",
        *report.words[0].split(),
    ):
        assert word in text
    assert text.count("With 2 seeds") == 1


def test_csv_is_tidy_and_in_full_precision(report):
    table = pl.read_csv(report.files["csv"], infer_schema_length=None)
    key = ["defense", "attack", "measure", "family", "decoding", "grader", "drop", "compared_with"]
    assert table.select(key).is_duplicated().sum() == 0
    transfer = table.filter((pl.col("measure") == "transfer") & (pl.col("grader") == "strict"))
    assert set(transfer["family"]) == {"chain", "code", "facts", "tool", "pooled"}
    assert set(transfer["decoding"]) == {"greedy", "sampled"}
    assert (transfer["low"] <= transfer["value"]).all()
    one_value = transfer.filter((pl.col("defense") == "trace_hidden") & (pl.col("family") == "chain"))["value"][0]
    assert round(one_value, 4) != one_value
    assert {"student_at_drop", "difference_at_drop", "transfer_lost_corrected", "attack_dollars", "refusals"} <= set(
        table["measure"]
    )


def test_json_is_valid_and_says_the_same(report):
    document = json.loads(report.files["json"].read_text())
    assert document["words"] == list(report.words)
    cell = next(c for c in document["cells"] if c["defense"] == "trace_hidden" and c["attack"] == "imitate")
    shown = next(
        r for r in document["tables"][0]["rows"] if r["defense"] == "trace_hidden" and r["attack"] == "imitate"
    )
    assert cell["measures"]["transfer/chain/greedy/strict"] == shown["transfer chain"]
    assert cell["seeds"] == [1, 2]


def test_hidden_trace(report):
    rows = {r["family"]: r for r in tables(report)["hidden_trace"].rows if r["attack"] == "imitate"}
    assert rows["reasoning"]["reading"] == "lost"
    assert rows["tool use"]["reading"] == "lost"
    assert rows["coding"]["reading"] in ("unchanged", "undecided")
    assert rows["reasoning"]["p"] < 0.001
    assert rows["tool use"]["formed"] > rows["tool use"]["after"].value + 0.3, "well formed, and wrong"


def test_matched_drop_has_the_truth_in_its_intervals(report):
    rows = [r for r in tables(report)["matched"].rows if r["family"] == "reasoning" and r["drop"] == "5.0"]
    assert len(rows) == 2
    for row in rows:
        assert row["antidistillation"].low - 0.03 <= 0.51 <= row["antidistillation"].high + 0.03
        assert row["minus permuted"].low < 0.51 - 0.92 < row["minus permuted"].high + 0.05
        assert row["minus permuted"].high < 0


def test_values_read_off_a_curve_are_marked_in_every_format(report):
    """Between the strengths, and on the line from no defense to the weakest strength."""
    rows = [r for r in tables(report)["matched"].rows if r["family"] == "reasoning" and r["attack"] == "imitate"]
    marks = {row["drop"]: row["antidistillation"].mark for row in rows}
    assert marks["1.0"] == CHORD
    assert marks["5.0"] == INTERPOLATED
    out = StringIO()
    report.terminal(Console(file=out, width=160))
    for text in (report.files["md"].read_text(), out.getvalue()):
        assert "† on the straight line from no defense" in " ".join(text.split())
        assert re.search(r"\.\d\d†", text)
        assert re.search(r"\.\d\d‡", text)
    tex = report.files["tex"].read_text()
    assert re.search(r"\.\d\d\$\^\\dagger\$", tex)
    assert re.search(r"\.\d\d\$\^\\ddagger\$", tex)
    table = pl.read_csv(report.files["csv"], infer_schema_length=None).filter(pl.col("measure") == "student_at_drop")
    assert {CHORD, INTERPOLATED} <= set(table["mark"])
    assert "slack_at_drop" in report.files["csv"].read_text()
    matched = json.loads(report.files["json"].read_text())["matched"]
    assert {CHORD, INTERPOLATED} <= {e.get("mark") for c in matched for e in c["student"].values()}


def test_every_table_states_its_noise_floor(report):
    for table in (table for table in report.tables if table.name not in ("claims", "evidence")):
        assert any(note.startswith("Noise floor") for note in table.notes), table.name


def test_p_value_interval_and_reading_of_every_line_agree(report):
    for row in tables(report)["hidden_trace"].rows:
        assert row["lost"].resolved == (row["p"] < 0.05) == (row["reading"] in ("lost", "gained"))
    document = json.loads(report.files["json"].read_text())
    for c in document["matched"]:
        for e in c["difference"].values():
            if "low" in e:
                assert (e["low"] > 0 or e["high"] < 0) == (e["p_holm"] < 0.05)
    for cell in document["cells"]:
        for e in cell["measures"].values():
            if "p" in e and e["low"] not in (0, 1) and e["high"] not in (0, 1):
                assert (e["low"] > 0 or e["high"] < 0) == (e["p"] < 0.05)


def test_threat_models_that_differ_become_columns(tmp_path):
    cells = [one("none", None, 0.9, 0.99, s, queries=q, data=q) for s in (1, 2) for q in (500, 1000)]
    made = write_report(cells, tmp_path, "axes")
    main = made.tables[0]
    assert [c.title for c in main.columns[:4]] == ["defense", "queries", "data", "attack"]
    assert [row["queries"] for row in main.rows] == ["500", "1,000"]
    assert "interface text" in main.title


def test_cells_that_differ_in_a_setting_only_are_told_apart(tmp_path):
    def settings(epsilon: float, steps: int, seed: int):
        return {"seed": seed, "defense": {"antidistillation": {"epsilon": epsilon}}, "student": {"steps": steps}}

    cells = [
        one("antidistillation", ("lam", 0.2), 0.5, 0.95, s, settings=settings(e, n, s))
        for s in (1, 2)
        for e, n in ((0.1, 100), (0.01, 100), (0.1, 200))
    ]
    labels = {(r["defense"], r["attack"]) for r in write_report(cells, tmp_path, "settings").tables[0].rows}
    assert ("antidistillation(lam=0.2) (epsilon=0.01)", "imitate (steps=100)") in labels
    assert len(labels) == 3


def test_labels_name_parts_and_leave_out_what_is_not_set(tmp_path):
    def settings(seed: int, harvest: str, recover: dict[str, object]):
        return {"seed": seed, "attack": {"harvest": {"_target_": f"attacks.harvest.{harvest}"}, "recover": recover}}

    half = {"_target_": "mine.recover.HalfSequence", "keep": None}
    attacks = [
        ("random.Random", {}),
        ("random.Random", {"half": half}),
        ("random.Random", {"half": half | {"keep": 0.5}}),
        ("uncertainty.Uncertainty", {}),
    ]
    cells = [one("none", None, 0.9, 0.99, s, settings=settings(s, *a)) for s in (1, 2) for a in attacks]
    assert {row["attack"] for row in write_report(cells, tmp_path, "labels").tables[0].rows} == {
        "imitate (harvest=Random)",
        "imitate (harvest=Random, half)",
        "imitate (harvest=Random, half, keep=0.5)",
        "imitate (harvest=Uncertainty)",
    }


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(grid(seeds=(1,), attacks=("imitate",)), id="one seed"),
        pytest.param([one("none", None, 0.9, 0.99, 1)], id="one cell"),
        pytest.param([one("query_quota", None, 0.9, 0.99, s, refused=1.0) for s in (1, 2)], id="all refused"),
        pytest.param([one("none", None, 0.9, 0.99, 1), one("trace_hidden", None, 0.1, 0.99, 2)], id="seeds apart"),
        pytest.param(grid(attacks=("imitate",))[:-3], id="unfinished sweep"),
    ],
)
def test_whatever_is_missing_there_is_a_report(cells, tmp_path):
    made = write_report(cells, tmp_path, "part")
    out = StringIO()
    made.terminal(Console(file=out, width=100))
    assert made.words
    assert "nan" not in made.files["md"].read_text().lower().replace("finance", "")
    json.loads(made.files["json"].read_text())


@pytest.mark.parametrize("without", ["undefended", "base", "teacher", "self"])
def test_models_that_were_not_scored(without, tmp_path):
    cells = [
        replace(c, scores={k: v for k, v in c.scores.items() if k != without})
        for c in grid(seeds=(1,), attacks=("imitate",))
    ]
    made = write_report(cells, tmp_path, "part")
    rows = made.tables[0].rows
    assert (rows[0]["transfer chain"].value is None) == (without in ("base", "teacher"))
    assert (rows[0]["relative"].value is None) == (without in ("base", "undefended"))


def test_nothing_to_report(tmp_path):
    with pytest.raises(MoatBenchError, match="at least one"):
        write_report([], tmp_path, "none")
