"""The report of a search: who is strongest, what it gains by adapting, and every format."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from experiments.measure.cell_result import by_configuration
from experiments.measure.summary import estimated, summarise
from experiments.report.strongest_table import (
    ChosenAttack,
    Searched,
    search_table,
    strongest_sentences,
    strongest_table,
)
from experiments.report.write_tables import write_tables
from tests.experiments.report.cells import one


@pytest.fixture(scope="module")
def found():
    cells = [one("hidden", None, s, 0.99, seed, a) for seed in (1, 2, 3) for a, s in (("imitate", 0.1), ("rl", 0.8))]
    own = {s.attack: s for s in estimated([summarise(group) for group in by_configuration(cells)])}
    passive = "imitate", own["imitate"]
    return [
        ChosenAttack("hidden", "before refining", *passive, *passive),
        ChosenAttack("hidden", "all", "rl", own["rl"], *passive),
        ChosenAttack("hidden", "all", "rl", own["rl"], None, None),
    ]


def test_the_gap_is_the_paired_difference(found):
    same, more, alone = strongest_table(found).rows
    assert same["gap"].value == 0
    moved, resting = (s.headline("transfer", "pooled") for s in (found[1].strongest, found[1].resting))
    assert more["gap"].value == pytest.approx((moved.values - resting.values).mean())
    assert more["gap"].low > 0.05
    assert alone["gap"].value is None
    assert alone["gap"].reason == "no passive attack was searched"


def test_attacks_that_know_more_are_named(found):
    assert not any("Knowledge" in note for note in strongest_table(found).notes)
    own = replace(found[1].strongest, configuration={**found[1].strongest.configuration, "knowledge": "method on mini"})
    notes = strongest_table([found[0], found[1]._replace(strongest=own)]).notes
    assert any("Knowledge is not equal: rl (method on mini)." in note for note in notes)


def test_words_and_formats(found, tmp_path):
    searched = [
        Searched("hidden", "clean", 1, 0.2),
        Searched("hidden", "rl", 3, 0.9),
        Searched("hidden", "x", 0, None, "no"),
    ]
    table = search_table(searched)
    assert [row["attack"] for row in table.rows] == ["rl", "clean", "x"]
    words = strongest_sentences(found)
    assert words[0].startswith("Before refining, the strongest found on hidden is imitate: transfer .")
    assert "more than imitate" in words[1]
    report = write_tables((strongest_table(found), table), words, tmp_path, "worst")
    lines = list(csv.DictReader(report.files["csv"].open()))
    assert float(lines[1]["gap_low"]) > 0.05
    assert lines[1]["attack"] == "rl"
    rows = json.loads(report.files["json"].read_text())["tables"][0]["rows"]
    assert rows[0]["gap"] == {"value": 0.0}
    assert "\\begin{tabular}" in report.files["tex"].read_text()
    assert "Strongest attack found" in report.files["md"].read_text()
