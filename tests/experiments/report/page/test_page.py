"""The page says what the CSV says, in any order of the rows, and shows what others wrote without obeying it."""

from __future__ import annotations

import base64
import hashlib
import math
import random
from dataclasses import replace
from io import StringIO

import polars as pl
import pytest

from experiments.claims.reporting import claims_of
from experiments.measure.cell_result import CellResult
from experiments.report import csv
from experiments.report.matched_table import comparisons
from experiments.report.names import family_name
from experiments.report.page.tiles import MANY_DEFENSES, worst_in_words
from experiments.report.page.told_page import LARGEST, told_page
from experiments.report.page.vectors import FONT, INK, figure, marked, svg
from experiments.report.page.write_page import write_page
from experiments.report.reference import Reference
from experiments.report.write import summaries_of
from tests.experiments.report.cells import grid, one
from tests.experiments.report.page.parsed import Page
from tests.experiments.report.told import with_texts

ANTIDISTILLATION = Reference("antidistillation")
MEASURES = {
    "reasoning": ("transfer", "chain"),
    "coding": ("transfer", "code"),
    "knowledge": ("transfer", "facts"),
    "tool use": ("transfer", "tool"),
    "pooled": ("transfer", "pooled"),
    "relative": ("relative", "pooled"),
    "relative to own": ("relative_own", "pooled"),
    "honest accuracy": ("T_def", "all"),
    "refused": ("refusals", "all"),
    "wait": ("wait_seconds", "all"),
    "trace seen": ("trace_kept", "all"),
    "extra passes": ("extra_passes", None),
    "accepted": ("attack_accepted", None),
    "distinct prompts": ("attack_distinct_prompts", None),
    "attack cost": ("attack_dollars", None),
}
"""Columns of the table of cells -> measure and family of the CSV."""
PLAIN = ("refused", "wait", "trace seen")
"""Columns that show the value alone."""


@pytest.fixture(scope="module")
def cells() -> list[CellResult]:
    return [with_texts(result) for result in grid()]


@pytest.fixture(scope="module")
def markup(cells, tmp_path_factory) -> str:
    return write_page(cells, tmp_path_factory.mktemp("page"), "quick", ANTIDISTILLATION, claims_of()).read_text()


@pytest.fixture(scope="module")
def page(markup) -> Page:
    return Page.of(markup)


@pytest.fixture(scope="module")
def told(report) -> pl.DataFrame:
    """The CSV of the same cells, all as text."""
    return pl.read_csv(report.files["csv"], infer_schema=False).with_columns(pl.all().fill_null(""))


def test_every_number_of_the_table_of_cells_is_the_csvs(page, told):
    heads, rows = page.heads["main"], page.rows["main"]
    assert len(rows) == 20
    assert set(heads) - {"defense", "attack"} <= set(MEASURES)
    greedy = told.filter(pl.col("decoding").is_in(["greedy", ""]) & pl.col("grader").is_in(["strict", ""]))
    compared = 0
    for row in rows:
        defense, attack = row[0].text.strip(), row[heads.index("attack")].text.strip()
        own = greedy.filter((pl.col("defense") == defense) & (pl.col("attack") == attack))
        for head, cell in zip(heads, row, strict=True):
            if head in MEASURES:
                measure, family = MEASURES[head]
                line = own.filter((pl.col("measure") == measure) & (pl.col("family") == (family or "")))
                expected = line.select("value", "low", "high").row(0) if line.height else ("", "", "")
                assert cell.numbers == ((expected[0], "", "") if head in PLAIN else expected), (defense, attack, head)
                compared += bool(cell.numbers[0])
    assert compared > 200


def test_every_number_of_what_honest_users_pay_is_in_the_csv(page, told):
    known = set(told.select("value", "low", "high").rows()) | {(v, "", "") for v in told["value"]}
    found = [c.numbers for name, rows in page.rows.items() if name.startswith("honest") for row in rows for c in row]
    numbers = [numbers for numbers in found if numbers[0]]
    assert len(numbers) > 100
    assert not [numbers for numbers in numbers if numbers not in known]


def test_pairs_are_those_of_a_table_of_every_pair(page, cells):
    """Whatever the reference of the report is."""
    summaries = summaries_of(cells)
    every, _ = comparisons(summaries, Reference("all"))
    text = csv.render(summaries, every)
    table = pl.read_csv(StringIO(text), infer_schema=False).filter(pl.col("measure") == "difference_at_drop")
    expected = {
        (r["attack"], family_name(r["family"]), float(r["drop"]), r["defense"], r["compared_with"], r["value"])
        for r in table.to_dicts()
    }
    pairs = page.data["pairs"]
    found = {
        (line["setting"], line["family"], line["at"][0], pairs["names"][a], pairs["names"][b], f"{value:.12g}")
        for line in pairs["lines"]
        for a, b, _, _, _, value, *_ in line["pairs"]
    }
    assert len(found) > 40
    assert found <= expected
    assert len({pair[3:5] for pair in found}) == 3, "each pair of three curves"


def test_words_claims_and_verdicts_are_the_reports(page, report):
    text = "".join(page.text)
    for sentence in report.words:
        assert sentence in text
    for name, finding in report.findings.items():
        assert name.replace("_", " ") in text
        assert finding.verdict in text


def test_same_rows_in_any_order_give_the_same_page(cells, tmp_path):
    some = [result for result in cells if result.cell["attack"] == "imitate" and result.cell["defense"] < "r"]
    mixed = list(some)
    random.Random(5).shuffle(mixed)
    first, second = (write_page(own, tmp_path / name, "quick").read_text() for name, own in (("a", some), ("b", mixed)))
    assert mixed != some
    assert first == second


def test_the_page_needs_nothing_from_elsewhere(page, markup):
    policy = next(v for tag, name, v in page.attributes if (tag, name) == ("meta", "content") and "default-src" in v)
    digest = base64.b64encode(hashlib.sha256(page.blocks["script"].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy
    links = [v for _, name, v in page.attributes if name in ("src", "href", "xlink:href", "action", "data")]
    assert links
    assert all(v.startswith("#") for v in links)
    assert not [v for _, name, v in page.attributes if name.startswith("on")]
    assert len(markup) < 2_000_000


def test_plots_and_marks_have_labels(page):
    plots = [(tag, v) for tag, name, v in page.attributes if tag.endswith("svg") and name == "aria-label"]
    assert len(plots) == page.tags["figure"] == 5
    assert {v for _, name, v in page.attributes if name == "data-c"} == {str(i) for i in range(20)}
    ids = [v for _, name, v in page.attributes if name == "id"]
    own = [v for v in ids if not v.startswith(("m", "p")) or not v[1:].isalnum() or len(v) != 11]
    assert len(own) == len(set(own)), "each id once, but shapes of plots, which are the same wherever they are"


def test_colours_follow_the_scheme():
    drawn = figure()
    axes = drawn.subplots()
    marked(axes.plot([0, 1], [0, 1], color=INK)[0], 7, 0)
    axes.set_title("a < b & c", fontsize=FONT)
    found = svg(drawn, 'plot "1" <b>')
    assert "var(--ink)" in found
    assert 'data-c="7"' in found
    assert "a &lt; b &amp; c" in found
    assert "plot &quot;1&quot; &lt;b&gt;" in found


EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`${alert(3)}\x1b[31m\u202e<!--"


def test_what_others_wrote_is_shown_and_not_obeyed(tmp_path):
    attack = 'x"><svg onload=alert(4)>'
    names = ["<script>alert(5)</script>", "{{ 7*7 }}"]
    cells = [
        with_texts(one(name, None, 0.4, 0.9, seed, attack), f"{EVIL} ; {EVIL}", EVIL)
        for name in names
        for seed in (1, 2)
    ]
    cells += [replace(c, cell={**c.cell, "defense": "none", "defense_name": []}) for c in cells[:2]]
    parsed = Page.of(write_page(cells, tmp_path, "evil").read_text())
    assert parsed.tags["script"] == 2
    assert not parsed.tags["img"]
    assert parsed.tags["svg"] == parsed.tags["figure"]
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    data = parsed.data
    assert {cell["label"] for cell in data["cells"]} == {*names, "none"}
    assert {cell["attack"] for cell in data["cells"]} == {attack}
    shown = EVIL.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert shown in data["transcripts"]["texts"]
    assert any(shown in str_of(said) for said in data["transcripts"]["said"])
    assert "49" not in "".join(row[0].text for row in parsed.rows["main"])


def str_of(said: object) -> str:
    return said if isinstance(said, str) else "".join(text for _, pieces in said for _, text in pieces)


def test_a_page_without_texts_or_defenses_is_a_page(tmp_path):
    page = Page.of(write_page([one("none", None, 0.9, 0.99, 1)], tmp_path, "bare").read_text())
    assert "without texts" in "".join(page.text)
    assert len(page.rows["main"]) == 1


def test_the_page_says_what_is_compared_and_opens_on_a_defense(cells, tmp_path):
    known = {
        "defense": {"trace_hidden": "No <b>working</b>.", "kgw": "A watermark."},
        "attack": {"imitate": "As it is."},
    }
    text = write_page(cells, tmp_path, "mine", about="three <i>defenses</i>", methods=known).read_text()
    page = Page.of(text)
    assert "Three <i>defenses</i>" in "".join(page.text)
    assert "No <b>working</b>." in "".join(page.text)
    assert "As it is." in "".join(page.text)
    assert "A watermark." not in "".join(page.text), "it is in no cell"
    (first,) = [line for line in text.split("<option") if " selected" in line and ", seed " in line]
    assert not first.split(">")[1].startswith("none")


def test_the_worst_case_is_said_in_words(page, cells):
    summaries = summaries_of(cells)
    said = worst_in_words(summaries)
    assert said in "".join(page.text)
    names = {s.defense for s in summaries if s.names}
    assert sum(f"with {name} (" in said for name in names) == min(len(names), MANY_DEFENSES)
    assert worst_in_words([s for s in summaries if not s.names]) == ""


def test_transcripts_stay_within_their_room(cells):
    long = " ".join(f"step {i} -> {i * i} ;" for i in range(12_000))
    told = told_page([[with_texts(result, f"{long} {n}")] for n, result in enumerate(cells[:8])])
    whole = told_page([[with_texts(cells[0])]])
    assert "no room" in told["note"]
    assert "no room" not in whole["note"]
    assert len(told["cells"]) == 8
    assert math.isfinite(LARGEST)
