"""Ratings made elsewhere: what is taken, and what is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from configs.errors import ConfigError
from configs.identity import identity
from tasks.imported_ratings import ImportedRatings
from tasks.text_judge import JudgedTexts

A, B = "a" * 32, "b" * 32
TEXTS = JudgedTexts(["?"] * 3, [""] * 3, ["x", "y", "z"], key=A, items=["i", "j", "k"])
GOOD = {"key": A, "item": "i", "rating": 4}


def written(path: Path, *rows: object) -> ImportedRatings:
    file = path / "ratings.jsonl"
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return ImportedRatings(path=str(file))


def test_each_text_has_the_rating_of_its_key_and_item(tmp_path: Path) -> None:
    rows = [{**GOOD, "item": "k", "rating": 2.5, "who": "me"}, {**GOOD, "rating": "5"}, {**GOOD, "key": B}]
    found = written(tmp_path, rows[0], "", rows[1], rows[2]).ratings(TEXTS)
    assert found.rating.tolist()[::2] == [5.0, 2.5]
    assert np.isnan(found.rating[1])
    assert np.isnan(found.mass[1])
    assert found.mass[0] == 1
    table = tmp_path / "ratings.parquet"
    pl.DataFrame([{**row, "rating": float(row["rating"])} for row in (rows[0], rows[2])]).write_parquet(table)
    assert ImportedRatings(path=str(table)).ratings(TEXTS).rating[2] == 2.5


def test_words_of_the_scale_are_ratings(tmp_path: Path) -> None:
    judge = written(tmp_path, {**GOOD, "rating": "good"}, {**GOOD, "item": "j", "rating": 0})
    words = ImportedRatings(path=judge.path, scale=("bad", "good"))
    assert words.ratings(TEXTS).rating[:2].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({**GOOD}, f"line 2 rates the item 'i' of {A} again, after line 1"),
        ({**GOOD, "item": "j", "rating": 6}, "line 2 has the rating 6, and the scale goes from 1 to 5"),
        ({**GOOD, "item": "j", "rating": float("nan")}, "line 2 has the rating nan"),
        ({**GOOD, "item": "j", "rating": True}, "line 2 has the rating True"),
        ({**GOOD, "item": "j", "rating": "great"}, "line 2 has the rating 'great', which is not on the scale"),
        ({**GOOD, "item": "j", "rating": None}, "line 2 has no rating"),
        ({"key": A, "rating": 3}, "line 2 has no item"),
        ({**GOOD, "item": 7}, "line 2 has a key or an item that is no text"),
        ("{", "line 2 is no JSON"),
        ("[1]", "line 2 is no JSON object"),
    ],
)
def test_a_line_that_is_no_rating_is_refused_before_anything_runs(tmp_path: Path, bad: object, reason: str) -> None:
    with pytest.raises(ConfigError) as error:
        written(tmp_path, GOOD, bad).check()
    assert reason in str(error.value)


def test_keys_and_items_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    judge = written(tmp_path, GOOD, {**GOOD, "key": B}, {**GOOD, "item": "gone"})
    judge.require_keys({A, B})
    with pytest.raises(ConfigError, match=f"line 2 has the key '{B}', and no stored texts have that"):
        judge.require_keys({A})
    with pytest.raises(ConfigError, match="line 3 names the item 'gone'"):
        judge.ratings(TEXTS)


def test_files_that_hold_no_ratings_are_refused(tmp_path: Path) -> None:
    for path, reason in (("", "must name a file"), (str(tmp_path / "no.jsonl"), "is no file")):
        with pytest.raises(ConfigError, match=reason):
            ImportedRatings(path=path).check()
    other = tmp_path / "ratings.csv"
    other.write_text("key,item,rating\n")
    with pytest.raises(ConfigError, match=r"must be a \.jsonl, \.json or \.parquet file"):
        ImportedRatings(path=str(other)).check()
    table = tmp_path / "ratings.parquet"
    pl.DataFrame({"key": [A], "rating": [1.0]}).write_parquet(table)
    with pytest.raises(ConfigError, match="must be a table with key, item, rating"):
        ImportedRatings(path=str(table)).check()


def test_an_empty_file_rates_nothing(tmp_path: Path) -> None:
    judge = written(tmp_path)
    judge.check()
    assert np.isnan(judge.ratings(TEXTS).rating).all()


def test_what_the_file_holds_is_in_the_identity(tmp_path: Path) -> None:
    before = identity(written(tmp_path, GOOD))
    assert identity(written(tmp_path, {**GOOD, "rating": 3})) != before
    assert identity(written(tmp_path, GOOD)) == before
