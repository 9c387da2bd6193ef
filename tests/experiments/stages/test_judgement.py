"""Judges in a whole cell of the mini world: a model that rates, ratings that are imported, keys that stay as they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from configs.errors import ConfigError
from experiments.cell_from import cell_from
from experiments.cli import ratings
from experiments.cli.stored_rows import wanted_rows
from experiments.compose.compose import compose_one
from experiments.stages.row import RowStage, result_of
from experiments.stages.stage_names import named_stages
from experiments.store.store import Store
from tests.experiments.test_cell import TINY, run
from tests.lm import tiny

CELL = [*TINY, "measure.heldout=3", "defense=trace_hidden"]


def row(*words: str) -> RowStage:
    return cell_from(compose_one([*CELL, *words]).config).row_stage()


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[str], RowStage]:
    """A finished cell with a quality judge, a style judge, and a file of ratings without lines."""
    place = tmp_path_factory.mktemp("judged")
    model, empty = tiny.save(place / "model"), place / "empty.jsonl"
    empty.touch()
    words = ["judge=[trace_quality,style,imported]", f"judge.imported.path={empty}"]
    words += [f"judge.{name}.model.path={model}" for name in ("trace_quality", "style")]
    store, made = Store(place / "store"), row(*words)
    run(store, [made])
    return store, words, made


def test_judges_rate_what_is_released_and_what_students_say(judged):
    store, _, made = judged
    table = result_of(store.get(made)).judged
    assert table.group_by("judge", "texts").len().height == 3 * 4
    quality = table.filter(judge="trace_quality")
    assert quality["rating"].is_between(1, 5).all()
    assert quality["mass"].is_between(0, 1).all()
    assert quality["good"].to_list() == (quality["rating"] >= 3).to_list()
    assert table.filter(judge="style")["program"].null_count() == 48
    assert table.filter(judge="imported")["rating"].null_count() == 48
    facts = store.get(made).table("row").to_dicts()[0]
    assert facts["kappa_student/trace_quality/program_n"] == 12
    assert facts["kappa_student/imported/program_n"] == 0
    assert "kappa_student/style/program" not in facts
    assert facts["rating_released/trace_quality"] == pytest.approx(quality.filter(texts="released")["rating"].mean())


def test_the_texts_are_those_that_are_scored_and_released(judged):
    store, _, made = judged
    texts = {role: store.get(own.texts).table("texts") for role, own in made.judgements["style"].items()}
    shown = store.get(made.scores["student"]).table("items").filter(split="heldout", decoding="greedy").sort("item")
    assert texts["student"].sort("item")["strict"].to_list() == shown["strict"].to_list()
    assert texts["student"].sort("item")["tokens"].to_list() == shown["tokens"].cast(pl.Int64).to_list()
    hidden, whole = (texts[role]["text"].str.len_chars().sum() for role in ("released", "clean"))
    assert hidden < whole, "the defense hides the trace"


def test_judges_are_in_no_other_key(judged):
    _, words, made = judged
    plain, again = row(), row(*words)
    before, after = named_stages(plain), named_stages(again)
    changed = {name for name, stage in before.items() if after[name].key != stage.key}
    assert changed == {"row"}
    assert again.key == made.key
    other = named_stages(row(*words, "judge.style.instruction=another"))
    moved = {name for name, stage in after.items() if other[name].key != stage.key}
    assert moved == {"row", *(f"judgement.style.{role}" for role in made.judgements["style"])}


def test_an_undefended_cell_has_nothing_twice():
    made = cell_from(compose_one([*TINY, "judge=style"]).config).row_stage()
    assert list(made.judgements["style"]) == ["released", "student"]
    assert made.judgements["style"]["student"].clean is not None


def test_texts_are_exported_rated_and_imported(judged, tmp_path: Path, capsys):
    store, words, made = judged
    file = tmp_path / "rated.jsonl"
    assert ratings.main(["export", str(store.root), str(file)]) == 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == 48
    assert set(rows[0]) == {"key", "item", "question", "reference", "text", "rating"}
    assert ratings.main(["check", str(store.root), str(file)]) == 1
    assert "line 1 has no rating" in capsys.readouterr().err
    student = made.judgements["imported"]["student"].texts
    verdict = dict(zip(*(store.get(student).table("texts")[name] for name in ("item", "strict")), strict=True))
    rated = [{**r, "rating": 5 if verdict[r["item"]] else 1} for r in rows if r["key"] == student.key]
    file.write_text("".join(json.dumps(r) + "\n" for r in rated))
    assert ratings.main(["check", str(store.root), str(file)]) == 0
    again = row(*words, f"judge.imported.path={file}")
    assert run(store, [again]) == 5, "four judgements and the row: no text is made again"
    table = result_of(store.get(again)).judged.filter(judge="imported", texts="student")
    assert table["good"].to_list() == table["program"].to_list()
    assert np.isfinite(table["rating"].to_numpy()).all()


def test_ratings_of_texts_that_do_not_exist_are_refused_before_anything_runs(judged, tmp_path: Path):
    store, words, _ = judged
    file = tmp_path / "rated.jsonl"
    file.write_text(json.dumps({"key": "0" * 32, "item": "x", "rating": 3}) + "\n")
    cells = [compose_one([*CELL, *words, f"judge.imported.path={file}", f"store={store.root}"])]
    with pytest.raises(ConfigError, match=r"line 1 has the key '0+', and no stored texts have that") as error:
        wanted_rows(cells)
    assert error.value.field == "judge.imported.path"


def test_a_judge_that_cannot_be_is_refused_before_anything_runs(judged, tmp_path: Path):
    _, words, _ = judged
    for word, field in (
        ("judge.style.scale=['1','10']", "judge.style.scale"),
        (f"judge.imported.path={tmp_path / 'no.jsonl'}", "judge.imported.path"),
        ("judge.style.program=truth", "judge.style.program"),
    ):
        with pytest.raises(ConfigError) as error:
            row(*words, word)
        assert error.value.field == field
    (tmp_path / "broken").mkdir()
    broken = tiny.change_template(tiny.save(tmp_path / "broken"), "{{ 1 + 'a' }}")
    with pytest.raises(ConfigError) as error:
        row(*words, f"judge.style.model.path={broken}")
    assert error.value.field == "judge.style.model.chat_template"
