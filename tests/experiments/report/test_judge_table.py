"""The table of judges: shown where somebody judges, with agreement and what speaks against it."""

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from experiments.measure.agreement import agreement
from experiments.measure.judged import PROGRAM, JudgedPair, agreements, length_correlations, rating_measures
from experiments.measure.row import cell_row
from experiments.report import write, write_report
from experiments.report.judge_table import NO_PROGRAM, UNSHOWN
from tests.experiments.report.cells import one

pytestmark = pytest.mark.usefixtures("without_plots")


def ratings(judge, rating, program, texts="student", mass=0.5):
    """A table as the row stores it; the text of item i has i tokens."""
    n = len(rating)
    rating = pl.Series(rating, dtype=pl.Float64)
    return pl.DataFrame(
        {
            "item": [f"item{i}" for i in range(n)],
            "family": ["chain"] * n,
            "rating": rating,
            "mass": [mass] * n,
            "good": rating >= 3,
            "program": pl.Series(program, dtype=pl.Boolean),
            "tokens": list(range(n)),
            "judge": [judge] * n,
            "texts": [texts] * n,
        }
    )


TRUTH = [i % 3 == 0 for i in range(30)]
GOOD = ratings("sound", [5.0 if right else 1.5 for right in TRUTH], TRUTH)
NOISE = ratings("noise", [4.0] * 30, TRUTH)
STYLE = ratings("style", np.linspace(1, 5, 30).tolist(), [None] * 30)


def cell(*tables, seed=0):
    return replace(one("none", None, 0.9, 0.99, seed), judged=pl.concat(tables))


def test_ratings_and_agreement_over_all_seeds():
    both = [pl.concat([GOOD, STYLE]), ratings("sound", [1.0, None, 5.0], [False, True, True])]
    quantity = rating_measures(both, (0, 1))["rating_student", "sound"]
    assert quantity.values.tolist() == [pytest.approx(1.5 + 3.5 / 3), 3.0]
    found = agreements(both)
    assert set(found) == {JudgedPair("student", "sound", PROGRAM), JudgedPair("student", "sound", "style")}
    assert found["student", "sound", PROGRAM].n == 32, "the text without a rating does not count"
    assert found["student", "sound", PROGRAM].kappa == 1
    assert found["student", "sound", "style"] == agreement(GOOD["good"].to_numpy(), STYLE["good"].to_numpy())
    assert length_correlations(both)["student", "style"] == pytest.approx(1)
    assert length_correlations([NOISE])["student", "noise"] is None
    assert agreements([None]) == rating_measures([None], (0,)) == {}


def test_the_row_states_kappa_its_interval_and_of_how_many():
    result = cell(GOOD, NOISE)
    row = cell_row(
        result.cell, result.scores, result.honest, result.honest_clean, result.honest_load, judged=result.judged
    )
    assert row["kappa_student/sound/program"] == 1
    assert row["kappa_student/noise/program"] == 0
    assert row["kappa_student/noise/program_low"] < 0 < row["kappa_student/noise/program_high"]
    assert row["kappa_student/noise/program_n"] == 30
    assert row["rating_student/noise"] == 4
    plain = cell_row(result.cell, result.scores, result.honest, result.honest_clean, result.honest_load)
    assert not [name for name in plain if "kappa" in name or name.startswith("rating")]


def test_a_judge_whose_agreement_is_not_shown_is_flagged(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "_draw", lambda *plot: None)
    report = write_report([cell(GOOD, NOISE, STYLE)], tmp_path, "judged")
    tables = {t.name: t for t in report.tables}
    flags = {row["judge"]: row["flag"] for row in tables["judges"].rows}
    assert flags == {"sound": "", "noise": UNSHOWN, "style": NO_PROGRAM}
    notes = " ".join(tables["judges"].notes)
    assert "sound with the program (none, imitate, student): kappa 1.00 [" in notes
    assert "noise with the program (none, imitate, student): kappa .00 [" in notes
    assert notes.count(f"30 texts; {UNSHOWN}") == 1
    assert [row["judge"] for row in tables["judges_agree"].rows] == ["sound, noise", "sound, style", "noise, style"]
    assert "kappa_student,noise,,program" in report.files["csv"].read_text()
    page = report.files["md"].read_text()
    assert "What judges say" in page
    sound = next(line for line in page.splitlines() if line.startswith("| none | imitate | sound | student |"))
    assert re.fullmatch(r"\d\.\d\d( \[\d\.\d\d, \d\.\d\d\])?", sound.split("|")[5].strip()), "two decimals"
    plain = write_report([one("none", None, 0.9, 0.99, 0)], tmp_path, "plain")
    assert not {"judges", "judges_agree"} & {t.name for t in plain.tables}
