"""Published pages: put together from a report and its store, and what the committed ones say of themselves."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import polars as pl
import pytest
from markupsafe import escape

from experiments.publish.made import made
from experiments.store.store import Store
from tests.experiments.publish.test_paper_artifact import fill
from tests.experiments.report.page.parsed import Page

DOCS = Path(__file__).resolve().parent.parent / "docs"
MADE = re.compile(
    r"\*\d{4}-\d\d-\d\d(?: to [-\d]+)?; revision [0-9a-f]{7}(?: and [0-9a-f]{7})*; \d+ seeds?; "
    r"packages of requirements/lock\.txt .*; \d+ cores of .*\.\* `moatbench "
)


@pytest.fixture(scope="module")
def pages():
    spec = importlib.util.spec_from_file_location("docs_pages", DOCS / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_page_is_the_report_with_its_origin(pages, tmp_path, capsys):
    results, docs = tmp_path / "results", tmp_path / "docs"
    docs.mkdir()
    fill(results / "store")
    (results / "main.md").write_text("# A table\n\nWhat it shows.\n")
    lines = [
        "defense,measure,family,decoding,grader,value,low,high,rows,note",
        "'=none,transfer,pooled,greedy,strict,0.5,0.4,0.6,abc,",
        "none,transfer,chain,greedy,strict,0.5,0.4,0.6,abc,",
        "none,transfer,pooled,sampled,strict,0.5,0.4,0.6,abc,",
        "none,T_def,all,,strict,0.9,0.8,1.0,abc,",
        "none,tokens,pooled,greedy,,12,,,abc,",
    ]
    (results / "main.csv").write_text("\n".join(lines) + "\n")
    for name in ("main.png", "main_roc.png", "mainly.png"):
        (results / name).write_bytes(b"picture")
    assert pages.main(["main", "--results", str(results), "--pages", str(docs)]) == 0
    head, empty, origin, *rest = (docs / "main.md").read_text().splitlines()
    assert (head, empty, rest) == ("# A table", "", ["", "What it shows."])
    assert re.match(
        r"\*\d{4}-\d\d-\d\d; revision .*; 2 seeds; .* in all\.\* `moatbench sweep defense=none,hidden ", origin
    )
    assert "store=" not in origin
    assert sorted(path.name for path in docs.iterdir()) == ["main.csv", "main.md", "main.png", "main_roc.png"]
    kept = ["defense,measure,family,decoding,grader,value,low,high,rows", lines[1][:-1], lines[4][:-1]]
    assert (docs / "main.csv").read_text().splitlines() == kept
    assert pages.compact("a,b\n1,2\n") == "a,b\n1,2\n", "a table of something else"
    whole = "policy,part,of,value\nlimits,,,5\n"
    assert pages.compact(f"{whole}limits,kind,chat,1\n") == "policy,value\nlimits,5\n", "of campaigns"
    assert pages.main(["mian", "--results", str(results), "--pages", str(docs)]) == 1
    assert "did you mean 'main'?" in capsys.readouterr().err


def test_an_html_page_goes_with_its_report_if_it_is_of_the_same_rows(pages, tmp_path, capsys):
    results, docs = tmp_path / "results", tmp_path / "docs"
    docs.mkdir()
    table = fill(results / "store")
    (results / "main.md").write_text("# A table\n\nWhat it shows.\n")
    (results / "main.html").write_text("of yesterday")
    asked = ["main", "--results", str(results), "--pages", str(docs)]
    assert pages.main(asked) == 1
    assert "is of other rows than main" in capsys.readouterr().err
    assert not list(docs.iterdir())
    (results / "main.html").write_text(f"<p>{escape(made(Store(results / 'store'), table))}</p>")
    assert pages.main(asked) == 0
    assert sorted(path.name for path in docs.iterdir()) == ["main.html", "main.md"]
    assert (docs / "main.html").read_bytes() == (results / "main.html").read_bytes()
    lines = (docs / "main.md").read_text().splitlines()
    assert lines[4].startswith("[main.html](main.html) shows the same rows")
    assert lines[5:] == ["", "What it shows."]


def test_plots_of_a_report_are_not_those_of_one_whose_name_goes_on(pages, tmp_path):
    for name in (
        "main.md",
        "main_imitation.md",
        "main.png",
        "main_roc.png",
        "main_imitation.png",
        "main_imitation_roc.png",
    ):
        (tmp_path / name).touch()
    (tmp_path / "main_imitations.png").touch()
    assert [plot.name for plot in pages.plots_of("main", tmp_path)] == [
        "main.png",
        "main_imitations.png",
        "main_roc.png",
    ]
    own = ["main_imitation.png", "main_imitation_roc.png"]
    assert [plot.name for plot in pages.plots_of("main_imitation", tmp_path)] == own


def test_a_command_names_no_place_of_the_machine_that_ran_it(pages):
    words = ["teacher.path=/home/me/models/small", "path=models/small", "+experiment=quick", "x=a=/b", "--workers"]
    assert [pages.typed(word) for word in words] == ["teacher.path=FOLDER/small", *words[1:]]


HTML = sorted((DOCS / "results").glob("*.html"))


@pytest.mark.parametrize("path", HTML, ids=lambda path: path.stem)
def test_a_published_html_page_is_of_the_rows_of_its_page(path):
    """It says the same of how they were made, and links from there; a sweep's has texts to read, and the CSV's transfers."""
    lines = path.with_suffix(".md").read_text().splitlines()
    assert f"]({path.name})" in lines[4]
    parsed = Page.of(path.read_text())
    sentence = lines[2].lstrip("*").partition(".* `")[0].replace("\\", "")
    assert sentence in "".join(parsed.text)
    if "main" not in parsed.heads:
        assert "ranked" in parsed.heads, "of campaigns"
        return
    assert parsed.data["transcripts"]["cells"]
    heads, shown = parsed.heads["main"], parsed.rows["main"]
    at = [heads.index(name) for name in ("defense", "attack", "pooled")]
    found = {(row[at[0]].text.partition("⚑")[0].strip(), row[at[1]].text.strip(), *row[at[2]].numbers) for row in shown}
    told = pl.read_csv(path.with_suffix(".csv"), infer_schema=False).filter(
        pl.col("measure") == "transfer", pl.col("family") == "pooled"
    )
    assert found == set(told.select("defense", "attack", "value", "low", "high").rows())


def test_there_is_a_published_html_page():
    assert HTML


@pytest.mark.parametrize("name", ["quick", "overview", "traces", "decoding", "curves", "aggregate_feb2026"])
def test_published_pages_say_how_they_were_made(name):
    """From a committed tree and the locked packages: a page that is not can only be made again (`make pages`)."""
    assert MADE.match((DOCS / "results" / f"{name}.md").read_text().splitlines()[2]), name
