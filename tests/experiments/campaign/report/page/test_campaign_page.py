"""The page of campaigns says what the CSV says, and shows names without obeying them."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace

import polars as pl
import pytest

from experiments.campaign.measure.roc import RATES
from experiments.campaign.report.naming import in_percent, per, scaled
from experiments.campaign.report.threshold_table import IN_FORCE, of_rate
from experiments.campaign.report.write import write_campaign_report
from experiments.measure.estimate import Estimate
from tests.experiments.campaign.synthetic import campaign, transfers
from tests.experiments.report.page.parsed import Page

LADDER = {"reviews_per_day": 0.2, "patience_days": 3.0, "delay_hours": 24.0}
EVIL = "<img src=x onerror=alert(1)>\"'{{ 7*7 }}</script><script>alert(2)</script>"


def policies(**names):
    common = {"operations": {names.get("operation", "alpha_one"): 40, "beta": 20}, "honest": 1200, "days": 8}
    several = [campaign(names.get("policy", "linking"), seed, grip=0.7, **common) for seed in (0, 1)]
    full = [campaign("full", seed, grip=0.9, providers=("north", "south"), **common) for seed in (2, 3)]
    found = [*several, *full, campaign("none", detectors=(), **common)]
    return [replace(one, facts={**one.facts, "config": {"policy": {"ladder": LADDER}}}) for one in found]


def write(out, **names):
    results = policies(**names)
    return without_pictures(results, transfers(results), "A note <b>of</b> transfer.", out)


def without_pictures(results, transfer, note, out):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.campaign.report.write.PLOTS", {})
        return write_campaign_report(results, transfer, note, out, "demo")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write(tmp_path_factory.mktemp("campaign"))


@pytest.fixture(scope="module")
def page(report):
    return Page.of(report.files["html"].read_text())


@pytest.fixture(scope="module")
def told(report):
    """The CSV by policy, part, of and measure: the mean over seeds where there are several."""
    table = pl.read_csv(report.files["csv"], infer_schema=False).with_columns(pl.all().fill_null(""))
    several = {row["policy"] for row in table.to_dicts() if row["seed"] == "all"}
    kept = [row for row in table.to_dicts() if (row["seed"] == "all") == (row["policy"] in several)]
    return {(row["policy"], row["part"], row["of"], row["measure"]): row for row in kept}


def estimate(row):
    return Estimate(*(float(row[name]) if row[name] else None for name in ("value", "low", "high")))


def spelled(e):
    return tuple("" if x is None else f"{x:.12g}" for x in e[:3])


PLAIN = {
    "operations": {"planned", "usable", "attack_accounts", "dollars_per_usable"},
    "reviews": {"reviews_most", "waiting_most"},
    "ranked": {"dollars_per_usable"},
}
PART = {"operations": "operation", "containment": "operation", "thresholds": "detector"}
WHOSE = {"undefended": "none", "all together": "", "alpha one": "alpha_one", "any of them": "any"}


def changed(name, key, e):
    """As a column of a table shows a measure of the CSV."""
    if key in PLAIN.get(name, ()) or key.startswith("exchanges_to"):
        return e
    if key.startswith("days_to") or key.endswith("_per_day"):
        return scaled(e, 1.0)
    return per(e, 1e5, 3) if key == "gone" else in_percent(e)


@pytest.mark.parametrize("name", ["ranked", "operations", "reviews", "containment", "thresholds"])
def test_every_number_of_a_table_is_the_csvs(name, page, told, report):
    tables = {table.name: table for table in report.tables}
    table = tables[{"ranked": "ranking"}.get(name, name)]
    keys = [c.key for _, block in table.blocks() for c in block]
    keys = list(dict.fromkeys(keys))
    in_csv = {"gone": "honest_gone_share"}
    compared = 0
    for row in page.rows[name]:
        cells = dict(zip(keys, row, strict=True))
        policy = WHOSE.get(cells["policy"].text.strip(), cells["policy"].text.strip())
        part = PART.get(name, "")
        of = cells[part].text.strip() if part else ""
        of = WHOSE.get(of, of)
        for key, cell in cells.items():
            if not cell.numbers[0] or key == "seeds":
                continue
            measure = in_csv.get(key, key)
            if name == "thresholds":
                at = cells["at"].text.strip()
                rates = {f"for {100 * rate:g} %": of_rate(rate) for rate in RATES}
                measure = (IN_FORCE if at == "in force" else rates[at])[key]
            expected = changed(name, key, estimate(told[policy, part if of else "", of, measure]))
            assert cell.numbers == spelled(expected), (policy, of, key)
            compared += 1
    assert compared >= 6


def test_every_table_of_the_page_has_the_numbers_of_the_json(page, report):
    known = {t["name"]: t for t in json.loads(report.files["json"].read_text())["tables"]}
    names = {"ranked": "ranking", "hard_kinds": "honest_kinds", "other_kinds": "honest_kinds"}
    assert {names.get(name, name) for name in page.rows} == set(known)
    compared = 0
    for name, rows in page.rows.items():
        there = known[names.get(name, name)]["rows"]
        numbers = {
            spelled(Estimate(v["value"], v.get("low"), v.get("high"))) if isinstance(v, dict) else (f"{v:.12g}", "", "")
            for row in there
            for v in row.values()
            if isinstance(v, int | float) or (isinstance(v, dict) and "value" in v)
        }
        own = [cell.numbers for row in rows for cell in row if cell.numbers[0]]
        assert set(own) <= numbers, name
        compared += len(own)
    assert compared > 300
    assert len(page.rows["hard_kinds"]) + len(page.rows["other_kinds"]) == len(known["honest_kinds"]["rows"])


def test_what_marks_say_is_what_the_thresholds_file_says(page, report):
    table = pl.read_csv(report.files["thresholds"], infer_schema=False).filter(pl.col("seed") == "all")
    lines = {(r["policy"], r["detector"], f"{100 * float(r['rate']):g} %", r["measure"]): r for r in table.to_dicts()}
    said = {"honest accounts alarmed": "false_alarms", "hard negatives alarmed": "hard",
            "attackers' accounts caught": "caught", "harvest that passes": "passing"}  # fmt: skip
    compared = 0
    for cell in page.data["cells"]:
        if "at most" not in cell["label"]:
            continue
        rate = cell["label"].partition("at most ")[2].removesuffix(" of honest accounts")
        for what, text in cell["says"]:
            row = lines[cell["policy"], cell["detector"], rate, said[what]]
            number = in_percent(Estimate(float(row["value"] or "nan")))
            assert text.split()[0] == str(number.value).replace("-", "−")
            compared += 1
    assert compared > 80


def test_words_and_recommendation_are_the_reports(page, report):
    text = "".join(page.text)
    for sentence in report.words:
        assert sentence in text
    ranking = next(table for table in report.tables if table.name == "ranking")
    assert "No policy is recommended" in report.words[-1]
    for sentence in ranking.notes:
        assert sentence in text
    assert "never" in text


def test_plots_have_labels_and_marks_that_are_told(page):
    plots = [v for tag, name, v in page.attributes if tag.endswith("svg") and name == "aria-label"]
    assert len(plots) == page.tags["figure"] == 11
    numbers = {int(v) for _, name, v in page.attributes if name == "data-c"}
    assert numbers == set(range(len(page.data["cells"])))
    ids = [v for tag, name, v in page.attributes if name == "id" and not tag.endswith(("path", "clipPath"))]
    own = [v for v in ids if len(v) != 11]
    assert len(own) == len(set(own))


def test_it_needs_nothing_from_elsewhere(page):
    policy = next(v for tag, name, v in page.attributes if (tag, name) == ("meta", "content") and "default-src" in v)
    digest = base64.b64encode(hashlib.sha256(page.blocks["script"].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    links = [v for _, name, v in page.attributes if name in ("src", "href", "xlink:href", "action", "data")]
    assert links
    assert all(v.startswith("#") for v in links)


def test_names_are_shown_and_not_obeyed(tmp_path):
    page = Page.of(write(tmp_path, policy=EVIL, operation=EVIL).files["html"].read_text())
    assert page.tags["script"] == 2
    assert not page.tags["img"]
    assert not page.tags["b"] or "<b>of</b>" in "".join(page.text)
    assert page.tags["svg"] == page.tags["figure"]
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert EVIL in {cell["policy"] for cell in page.data["cells"]}
    assert EVIL in {row[1].text for row in page.rows["operations"]}
    assert "49" not in {row[0].text for row in page.rows["operations"]}


@pytest.mark.parametrize("given", [{"operations": {}}, {"detectors": ()}, {"rate": 0.0}, {"honest": 0, "grip": 0.5}])
def test_one_policy_with_something_missing_is_a_page(given, tmp_path):
    one = [campaign("linking", **({"honest": 100} | given))]
    page = Page.of(without_pictures(one, {}, "", tmp_path).files["html"].read_text())
    assert "nothing to rank it against" in "".join(page.text)
    assert page.tags["section"] == 9
