"""Submissions: each says what is asked and composes; the example runs from a fresh folder and does what it says."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from configs.errors import ConfigError
from lm.types import Channel
from tests.defenses.release.responses import assert_aligned, make

ROOT = Path(__file__).resolve().parents[1]
COMMUNITY = ROOT / "community"
SUBMISSIONS = sorted(p for p in COMMUNITY.iterdir() if p.is_dir() and p.name not in ("template", "__pycache__"))


@pytest.fixture(scope="module")
def checks():
    spec = importlib.util.spec_from_file_location("community_check", COMMUNITY / "check.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("folder", SUBMISSIONS, ids=lambda folder: folder.name)
def test_every_submission_says_what_is_asked_and_composes(checks, folder, capsys):
    assert checks.main([str(folder)]) == 0
    assert "cells compose" in capsys.readouterr().out
    assert f"[{folder.name}]({folder.name}/README.md)" in (COMMUNITY / "README.md").read_text()


def test_the_example_runs_from_a_fresh_folder(checks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = ["attack=imitate", "defense=trace_ends"]
    results = checks.run(COMMUNITY / "trace_ends", tmp_path / "fresh", more)
    lines = pl.read_csv(results / "trace_ends.csv", infer_schema_length=None)
    assert set(lines["defense"]) == {"trace_ends(tokens=3)"}
    assert json.loads((results / "trace_ends.json").read_text())["cells"][0]["seeds"] == [0]
    assert not any(tmp_path.glob("*.csv")), "all of it is where it was told to be"
    assert not (COMMUNITY / "trace_ends" / "results").exists()


@pytest.mark.parametrize("tokens", [0, 1, 2, 50])
def test_the_example_shows_both_ends(checks, tokens):
    with checks.within(COMMUNITY / "trace_ends"):
        from trace_ends.ends import TraceEnds
    responses, context = make(k=2)
    released = TraceEnds(tokens).release(responses, context())
    assert_aligned(released)
    for row in range(len(responses)):
        before, after = [], []
        for found, side in ((responses, before), (released, after)):
            inside = slice(*found.tokens.offsets[row : row + 2])
            side += [(int(t), int(c)) for t, c in zip(found.tokens.values[inside], found.channel[inside], strict=True)]
        trace = [t for t, c in before if c == Channel.TRACE]
        ends = trace if len(trace) <= 2 * tokens else [*trace[:tokens], *trace[len(trace) - tokens :]]
        assert [t for t, c in after if c == Channel.TRACE] == ends
        assert [p for p in after if p[1] != Channel.TRACE] == [p for p in before if p[1] != Channel.TRACE]
    assert len(TraceEnds(tokens).release(responses.take(np.zeros(0, np.int64)), context())) == 0


def changed(folder: Path, **fields) -> Path:
    """The example's README with other fields."""
    place = folder / "trace_ends"
    (place / "trace_ends" / "configs" / "experiment").mkdir(parents=True)
    (place / "trace_ends" / "configs" / "experiment" / "trace_ends.yaml").write_text(
        "description: x\ngrids: [seed=0]\n"
    )
    _, said, body = (COMMUNITY / "trace_ends" / "README.md").read_text().split("---\n", 2)
    kept = [line for line in said.splitlines() if line.partition(":")[0] not in fields]
    kept += [f"{name}: {value}" for name, value in fields.items() if value is not None]
    (place / "README.md").write_text("---\n" + "\n".join(kept) + f"\n---\n{body}")
    return place


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"licence": None}, "licence = None: has to be said"),
        ({"compute": None}, "compute = None: has to be said"),
        ({"search": None}, "not a field|has to be said"),
        ({"search": "everything"}, "must be values by field"),
        ({"licence": "all rights; rm -rf"}, "must be an identifier"),
        ({"kind": "defence"}, "did you mean 'defense'"),
        ({"name": "other"}, "has to be the folder's"),
        ({"experiment": "../x.yaml"}, "is not in the folder"),
        ({"comand": "x"}, "did you mean 'command'"),
        ({"command": "rm -rf /"}, "must begin with moatbench"),
        ({"command": "moatbench run seed=0"}, "must be a sweep"),
        ({"command": "moatbench sweep seed=0,1"}, "has 2 seeds, fewer than 3"),
        ({"command": "moatbench sweep defense=nothing"}, "there is no such defense"),
    ],
)
def test_what_is_missing_or_wrong_is_said(checks, tmp_path, fields, message, capsys):
    if "search" in fields:
        fields = {**fields, "  defense.trace_ends.tokens": None}
    assert checks.main([str(changed(tmp_path, **fields))]) == 1
    found = capsys.readouterr().err
    assert any(part in found for part in message.split("|")), found


def test_the_template_asks_for_every_field(checks):
    said = (COMMUNITY / "template" / "README.md").read_text().split("---\n", 2)[1]
    assert [line.partition(":")[0] for line in said.splitlines() if line[0] != " "] == list(checks.FIELDS)
    with pytest.raises(ConfigError, match="is not there: copy community/template"):
        checks.submission(ROOT / "docs")
