"""How far sold probabilities are from the truth, in reports: columns where it was measured and nowhere else."""

from __future__ import annotations

import csv

import pytest

from experiments.report import write_report
from tests.experiments.report.cells import one

pytestmark = pytest.mark.usefixtures("without_plots")


def cells(told):
    return [
        cell
        for seed in (1, 2)
        for cell in (
            one("none", None, 0.95, 0.99, seed),
            one("mad", ("epsilon", 0.5), 0.55, 0.95, seed, **({"sold_l1": 0.4 + 0.1 * seed, **told} if told else {})),
        )
    ]


def test_columns_where_it_was_measured(tmp_path):
    report = write_report(cells({"sold_top1": 0.75}), tmp_path, "some")
    main = report.tables[0]
    titles = [column.title for column in main.columns]
    assert {"L1 sold", "first token kept"} <= set(titles)
    found = {row["defense"].partition("(")[0].strip(): (row["sold_l1"], row["sold_top1"]) for row in main.rows}
    assert found["none"] == (None, None)
    assert abs(found["mad"][0] - 0.55) < 1e-12
    assert found["mad"][1] == 0.75
    assert any(note.startswith("L1 sold") for note in main.notes)
    lines = csv.DictReader(report.files["csv"].read_text().splitlines())
    valued = {row["defense"].partition("(")[0].strip() for row in lines if row["measure"] == "sold_l1" and row["value"]}
    assert valued == {"mad"}


def test_no_column_where_it_was_not(tmp_path):
    main = write_report(cells(None), tmp_path, "none").tables[0]
    assert not {"L1 sold", "first token kept"} & {column.title for column in main.columns}
    assert not any(note.startswith("L1 sold") for note in main.notes)
    assert len(main.rows) == 2
