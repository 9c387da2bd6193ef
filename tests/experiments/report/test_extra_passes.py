"""Extra forward passes in reports: a column where any defense has some, and every format."""

from __future__ import annotations

import csv
import json

import pytest

from experiments.report import write_report
from tests.experiments.report.cells import one

pytestmark = pytest.mark.usefixtures("without_plots")


def cells(passes):
    """Two seeds of the undefended API and of one defense that states so many passes (None: it was not counted)."""
    counted = {"extra_passes": passes, "extra_compute": None if passes is None else passes / 8}
    return [
        cell
        for seed in (1, 2)
        for cell in (
            one("none", None, 0.95, 0.99, seed, extra_passes=0.0, extra_compute=0.0),
            one("antidistillation", ("lam", 0.2), 0.55, 0.95, seed, **counted),
        )
    ]


def test_a_column_where_any_defense_runs_models(tmp_path):
    report = write_report(cells(2.0), tmp_path, "some")
    main = report.tables[0]
    assert "extra passes" in [column.title for column in main.columns]
    assert {row["defense"].partition("(")[0].strip(): row["extra passes"] for row in main.rows} == {
        "none": 0,
        "antidistillation": 2,
    }
    assert any(note.startswith("Extra passes") for note in main.notes)
    lines = csv.DictReader(report.files["csv"].read_text().splitlines())
    found = {(row["measure"], row["defense"].partition("(")[0].strip()): row["value"] for row in lines}
    assert float(found["extra_passes", "antidistillation"]) == 2
    assert float(found["extra_compute", "antidistillation"]) == pytest.approx(0.25)
    measures = [cell["measures"] for cell in json.loads(report.files["json"].read_text())["cells"]]
    assert [m["extra_passes"]["value"] for m in measures] == [0, 2]


@pytest.mark.parametrize("passes", [0.0, None])
def test_no_column_where_none_does_or_none_was_counted(tmp_path, passes):
    main = write_report(cells(passes), tmp_path, "none").tables[0]
    assert "extra passes" not in [column.title for column in main.columns]
    assert not any(note.startswith("Extra passes") for note in main.notes)
    assert len(main.rows) == 2, "what was counted tells no cells apart"
