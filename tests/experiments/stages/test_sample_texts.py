"""Texts of a row are those of its stages, are in no key, and can be had as a page and on a terminal."""

from __future__ import annotations

import re
import shutil

import polars as pl
import pytest

from experiments.cell_from import cell_from
from experiments.cli import main
from experiments.compose.compose import compose_one
from experiments.stages.row import result_of
from experiments.stages.sample_texts import SCHEMA, first_of_each
from experiments.study import OpenCell, open_cell
from tests.experiments.report.page.parsed import Page
from tests.experiments.test_cell import TINY

HIDDEN = [*TINY, "defense=trace_hidden", "measure.transcripts=2"]
QUOTA = [*TINY, "defense=query_quota", "defense.query_quota.queries=30", "measure.transcripts=2"]


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> OpenCell:
    return open_cell(HIDDEN, tmp_path_factory.mktemp("store")).run(quiet=True)


@pytest.fixture(scope="module")
def quota(hidden: OpenCell) -> OpenCell:
    return open_cell(QUOTA, hidden.store.root).run(quiet=True)


def texts(cell: OpenCell, kind: str, role: str) -> pl.DataFrame:
    table = cell.result("row").table("transcripts")
    return table.filter((pl.col("kind") == kind) & (pl.col("role") == role))


def test_the_first_of_each_family_are_kept():
    assert first_of_each(list("aabab"), 2).tolist() == [True, True, True, False, True]
    assert not first_of_each(["a"], 0).any()


@pytest.mark.parametrize(("role", "of"), [("student", "student"), ("undefended", "undefended")])
def test_answers_to_the_attacker_are_what_he_received(hidden, role, of):
    kept, received = texts(hidden, "harvest", role), hidden.responses(of)
    assert kept.drop("kind", "role").schema == pl.Schema(SCHEMA)
    assert kept["family"].value_counts()["count"].to_list() == [2] * 4
    whole = dict(zip(received["prompt"], received["text"], strict=True))
    for row in kept.to_dicts():
        both = f"{row['trace']} {row['answer']}".split()
        assert both == whole[row["prompt"]].split()
        assert row["finished"] is not None
        assert not row["refused"]


def test_what_a_defense_took_away_is_in_the_harvest_without_it(hidden):
    kept, bare = texts(hidden, "harvest", "student"), texts(hidden, "harvest", "undefended")
    assert kept["prompt"].to_list() == bare["prompt"].to_list()
    assert sum(map(len, kept["trace"])) < sum(map(len, bare["trace"]))
    assert kept["cut"].any()
    assert not bare["cut"].any()


@pytest.mark.parametrize("model", ["student", "undefended", "teacher"])
def test_answers_to_held_out_items_are_those_that_were_graded(hidden, model):
    kept, drawn = texts(hidden, "heldout", model), hidden.answers(model)
    assert len(kept) == 8
    again = {row["item"]: row for row in drawn.to_dicts()}
    for row in kept.to_dicts():
        same = again[row["item"]]
        assert f"{row['trace']} {row['answer']}".split() == same["text"].split()
        assert (row["prompt"], row["strict"], row["lenient"]) == (same["prompt"], same["strict"], same["lenient"])


def test_requests_that_were_never_answered_are_told(quota):
    kept = texts(quota, "harvest", "student")
    refused = kept.filter("refused")
    assert len(kept) == len(texts(quota, "harvest", "undefended")) == 8
    assert 0 < len(refused) < len(kept)
    assert refused["trace"].null_count() == len(refused)
    assert kept.filter(~pl.col("refused"))["trace"].null_count() == 0


@pytest.mark.parametrize("defense", ["none", "linker", "trace_hidden"])
def test_how_many_are_kept_is_in_no_key(defense):
    keys = set()
    for count in (0, 8, 50):
        words = [*TINY, f"defense={defense}", f"measure.transcripts={count}"]
        keys.add(cell_from(compose_one(words).plain).row_stage().key)
    assert len(keys) == 1


def test_a_cell_that_keeps_none_has_none(hidden, tmp_path):
    shutil.copytree(hidden.store.root, tmp_path / "copy")
    for name in ("row", "harvest", "scores"):
        shutil.rmtree(tmp_path / "copy" / name)
    bare = open_cell([*HIDDEN, "measure.transcripts=0"], tmp_path / "copy").run(quiet=True)
    assert result_of(bare.result("row")).transcripts is None
    assert bare.key == hidden.key
    assert main(["transcripts", bare.key[:8], f"store={bare.store.root}"]) == 2


def test_commands_show_them(hidden, quota, tmp_path, capsys):
    store = f"store={hidden.store.root}"
    assert main(["transcripts", *HIDDEN, store]) == 0
    by_words = capsys.readouterr().out
    assert main(["transcripts", hidden.key[:10], store]) == 0
    assert capsys.readouterr().out == by_words
    assert f"row {hidden.key[:8]}: trace_hidden(fraction=1), imitate, seed 0" in by_words
    assert "[-" in by_words
    assert "as the API released it" in by_words
    assert main(["transcripts", *HIDDEN, store, "--what", "heldout", "--family", "chain", "--items", "1"]) == 0
    one = capsys.readouterr().out
    assert one.count("reference answer") == 1
    assert "released" not in one
    assert main(["report", "--all", store, f"out={tmp_path}", "--name", "page"]) == 0
    assert "written: " in capsys.readouterr().out
    page = Page.of((tmp_path / "page.html").read_text())
    assert re.search(
        r"\d{4}-\d\d-\d\d; revision \w+\+?; 1 seed; .* cores of .* stored results took ", "".join(page.text)
    )
    data = page.data
    assert {data["cells"][told["cell"]]["defense"] for told in data["transcripts"]["cells"]} == {
        "trace_hidden",
        "query_quota",
    }
    first = texts(hidden, "harvest", "student")["prompt"][0]
    assert first in data["transcripts"]["texts"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["transcripts", "abc"], "ROW = 'abc'"),
        (["transcripts", "abcd", "beef"], "must be the first letters of one row's key"),
        (["transcripts", "00000000"], "no row of the store"),
        (["transcripts", *TINY, "seed=0,1"], "are 2 cells"),
        (["transcripts", *TINY, "seed=7"], "is not stored"),
        (["transcripts", *HIDDEN, "--family", "chian"], "--family"),
        (["transcripts", *HIDDEN, "--items", "0"], "must be at least 1"),
        (["report", "--all", "--kept", "mine"], "give one of them"),
        (["report", "--kept", "mine"], "is not a kept table"),
        (["run", *TINY, "measure.transcripts=-1"], "measure.transcripts = -1: must be at least 0"),
    ],
)
def test_mistakes_are_told(hidden, capsys, words, said):
    assert main([*words, f"store={hidden.store.root}"]) == 2
    assert said in capsys.readouterr().err
