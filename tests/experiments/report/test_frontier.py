"""The frontier: calibrated cells beside those that are as they are, in a table and a picture."""

from __future__ import annotations

from dataclasses import replace

import pytest
from matplotlib.image import imread

from experiments.measure.cell_result import by_configuration
from experiments.measure.summary import estimated, summarise
from experiments.report import write_report
from experiments.report.frontier_table import frontier_table, lines
from tests.experiments.report.cells import one


def calibrated(drop, *described):
    cell = one(*described)
    return replace(cell, cell={**cell.cell, "calibrated_drop": drop})


def cells():
    found = []
    for seed in (1, 2, 3):
        found += [one("none", None, 0.95, 0.99, seed), one("trace_hidden", None, 0.11, 0.99, seed)]
        found += [
            calibrated(d, "ads", ("lam", x), s, 0.99 - d, seed) for d, x, s in ((0.02, 0.1, 0.7), (0.05, 0.2, 0.5))
        ]
        found += [calibrated(0.02, "heat", ("tau", 1.2), 0.9, 0.97, seed), one("heat", ("tau", 1.5), 0.85, 0.94, seed)]
    return found


@pytest.fixture(scope="module")
def summaries():
    return estimated([summarise(group) for group in by_configuration(cells())])


def test_lines_by_what_moved_at_the_greatest_drop(summaries):
    assert [(line.defense, [value for _, value in sorted(line.at)]) for line in lines(summaries)] == [
        ("none", []),
        ("trace_hidden", []),
        ("ads", [0.02, 0.05]),
        ("heat(tau=1.5)", []),
        ("heat", [0.02]),
    ]


def test_the_table_has_each_cell_where_it_belongs(summaries):
    table = frontier_table(summaries)
    titles = [column.title for column in table.columns]
    assert titles[2:5] == ["at 2 points", "at 5 points", "as it is"]
    rows = {row["defense"]: row for row in table.rows if row["family"] == "reasoning"}
    ads, hidden, heat = rows["ads"], rows["trace_hidden"], rows["heat"]
    assert ads["transfer ('drop', 0.02)"].value > ads["transfer ('drop', 0.05)"].value > hidden["transfer"].value
    assert (ads["strength ('drop', 0.02)"], ads["strength ('drop', 0.05)"], ads["transfer"]) == (
        "lam=0.1",
        "lam=0.2",
        None,
    )
    assert heat["transfer ('drop', 0.05)"] is None
    assert ads["lost ('drop', 0.05)"].value == pytest.approx(0.05, abs=0.02)


def test_no_frontier_without_a_calibration(tmp_path):
    bare = [one("none", None, 0.95, 0.99, seed) for seed in (1, 2)]
    report = write_report(bare, tmp_path, "bare")
    assert "frontier" not in [table.name for table in report.tables]
    assert not any(kind.startswith("frontier") for kind in report.files)


def test_a_picture_of_it(tmp_path):
    report = write_report(cells(), tmp_path, "some")
    picture = imread(report.files["frontier png"])
    assert report.files["frontier png"].name == "some_frontier.png"
    assert picture.shape[1] > 800
    assert picture[..., :3].std() > 0.02, "not an empty page"
    assert report.files["frontier pdf"].stat().st_size > 1000
