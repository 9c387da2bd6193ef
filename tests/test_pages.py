"""Published pages: put together from a report and its store, and what the committed ones say of themselves."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tests.experiments.publish.test_paper_artifact import fill

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
    assert pages.main(["mian", "--results", str(results), "--pages", str(docs)]) == 1
    assert "did you mean 'main'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["quick", "traces", "decoding", "curves", "aggregate_feb2026"])
def test_published_pages_say_how_they_were_made(name):
    """From a committed tree and the locked packages: a page that is not can only be made again (`make pages`)."""
    assert MADE.match((DOCS / "results" / f"{name}.md").read_text().splitlines()[2]), name
