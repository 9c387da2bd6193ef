"""Who is compared with whom at equal honest accuracy."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from io import StringIO
from itertools import combinations

import polars as pl
import pytest
from rich.console import Console

from configs.errors import ConfigError
from experiments.compose.compose import compose_one
from experiments.measure.estimate import Estimate
from experiments.report import write_report
from experiments.report.matched_table import TOO_MANY, comparisons, letters_text, matched_table
from experiments.report.reference import EVERY_PAIR, Reference
from experiments.report.write import summaries_of
from tests.experiments.report.cells import grid, one

pytestmark = pytest.mark.usefixtures("without_plots")

DEFENSES = ("antidistillation", "permuted", "temperature")
CELLS = grid(attacks=("imitate",))


def made(tmp_path, *reference):
    return write_report(CELLS, tmp_path, "r", Reference(*reference))


def matched(report):
    return next(table for table in report.tables if table.name == "matched")


def test_others_are_compared_with_the_reference(tmp_path):
    report = made(tmp_path, "temperature", True)
    keys = [c.key for c in matched(report).columns if c.key.startswith("minus")]
    assert keys == ["minus antidistillation", "minus permuted"]
    assert report.words[0].startswith(
        "At a 5-point drop of honest accuracy in reasoning, temperature leaves the student"
    )
    assert re.search(r"above \.\d\d for antidistillation \(difference \.[34]", report.words[0]), report.words[0]
    assert matched(report).blocks()[1][0] == "Difference: temperature less the other"


def test_without_one_it_is_the_first_by_name(tmp_path):
    for reference in (Reference(), Reference("not_run")):
        report = write_report(CELLS, tmp_path, "r", reference)
        assert {c["reference"] for c in json.loads(report.files["json"].read_text())["matched"]} == {"antidistillation"}


def test_one_that_has_to_be_there_and_is_not_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r"did you mean 'permuted'.*choices: all, antidistillation, permuted, temperature"
    ):
        made(tmp_path, "permutd", True)
    with pytest.raises(ConfigError, match=r"report\.reference"):
        write_report([one("none", None, 0.9, 0.99, 1)], tmp_path, "r", Reference("permuted", True))


def test_one_without_a_strength_cannot_be_the_reference_and_it_is_said_why(tmp_path):
    with pytest.raises(ConfigError, match=r"'trace_hidden': declares no strength .*`less` in docs/tables.md$"):
        made(tmp_path, "trace_hidden", True)


def test_letters_of_many_defenses_and_of_too_many():
    every = comparisons(summaries_of(CELLS), Reference(EVERY_PAIR))[0][0]
    apart, alike = (next(v for v in every.difference.values()) for _ in range(2))
    apart, alike = apart._replace(reading="lost"), alike._replace(reading="undecided")
    names = [f"d{i:02}" for i in range(60)]
    many = replace(
        every,
        accuracy={name: Estimate(i / 100) for i, name in enumerate(names)},
        difference=dict.fromkeys(combinations(names, 2), apart),
    )
    told = letters_text(many).split("; ")
    assert told[0] == "a d00"
    assert told[52:54] == ["a1 d52", "b1 d53"]
    assert len(told) == 60
    pairs = dict.fromkeys(combinations(names[:16], 2), alike)
    pairs |= {(names[i], names[i + 1]): apart for i in range(0, 16, 2)}
    assert letters_text(replace(many, accuracy={n: many.accuracy[n] for n in names[:16]}, difference=pairs)) == ""
    assert TOO_MANY not in matched_table([every], summaries_of(CELLS)).notes
    blank = replace(every, accuracy=many.accuracy, difference=pairs)
    assert TOO_MANY in matched_table([replace(blank, accuracy={n: many.accuracy[n] for n in names[:16]})], []).notes


def test_every_pair(tmp_path):
    report = made(tmp_path, EVERY_PAIR, True)
    table = next(t for t in report.tables if t.name == "pairs")
    told = {(r["first"], r["second"]): r for r in table.rows if r["family"] == "reasoning" and r["drop"] == "5.0"}
    assert list(told) == list(combinations(DEFENSES, 2))
    assert told["antidistillation", "permuted"]["reading"] == "lower"
    assert not any(c.key.startswith("minus") for c in matched(report).columns)
    row = next(r for r in matched(report).rows if (r["family"], r["drop"]) == ("reasoning", "5.0"))
    assert row["letters"] == "a antidistillation; b permuted, temperature"
    assert any("does not say that students are equal" in note for note in matched(report).notes)
    document = json.loads(report.files["json"].read_text())["matched"]
    assert {c["reference"] for c in document} == {EVERY_PAIR}
    names = [name for c in document for name in c["difference"]]
    assert set(names) == {f"{a} less {b}" for a, b in combinations(DEFENSES, 2)}
    assert f"the report's {len(names)} comparisons (Holm)" in table.notes[0], "corrected over all of them"
    csv = pl.read_csv(report.files["csv"], infer_schema_length=None).filter(pl.col("measure") == "difference_at_drop")
    assert {*zip(csv["defense"], csv["compared_with"], strict=True)} == set(combinations(DEFENSES, 2))
    out = StringIO()
    report.terminal(Console(file=out, width=100))
    assert "Every pair at equal honest accuracy" in out.getvalue()


def test_the_setting_enters_no_cell():
    plain, chosen = compose_one([]), compose_one(["report.reference=all"])
    assert chosen.plain["report"] == {"reference": "all"}
    assert plain.identity == chosen.identity
    with pytest.raises(ConfigError, match=r"report\.reference"):
        compose_one(["report.reference=[a]"])
