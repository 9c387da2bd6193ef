"""A cell opened from Python: what it reads is what its stages hold; what is not there says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from configs.errors import ConfigError, MoatBenchError
from experiments.stages.harvest import harvested_of
from experiments.stages.training_set import examples_of
from experiments.study import OpenCell, open_cell
from tests.experiments.test_cell import TINY


@pytest.fixture(scope="module")
def store(tiny_store: Path) -> Path:
    return tiny_store


@pytest.fixture(scope="module")
def cell(tiny_cell: OpenCell) -> OpenCell:
    return tiny_cell


@pytest.fixture(scope="module")
def adaptive(store: Path, cell: OpenCell) -> OpenCell:
    """One that asks several times, and whose student is refined."""
    words = ["defense=[trace_truncated,query_quota]", "defense.query_quota.queries=50", "attack=adaptive"]
    return open_cell([*TINY, *words, "attack/refine=rft"], store).run(quiet=True)


def test_only_what_is_missing_is_run(cell, store):
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*.safetensors")}
    open_cell(cell.composed.overrides, store).run(quiet=True)
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*.safetensors")} == before


def behind(opened: OpenCell) -> set[str]:
    """Keys of the row and of everything that it is made from."""
    keys, left = set(), [opened.last]
    while left:
        stage = left.pop()
        if stage.key not in keys:
            keys.add(stage.key)
            left += stage.inputs().values()
    return keys


@pytest.mark.parametrize("which", ["cell", "adaptive"])
def test_every_stage_behind_the_row_has_a_name(which, request):
    opened = request.getfixturevalue(which)
    table = opened.stages()
    assert set(table["key"]) == behind(opened)
    assert table["name"].is_unique().all()
    assert table["stored"].all()
    assert table["seconds"].is_not_null().all()
    assert table.filter(pl.col("name") == "row")["key"].to_list() == [opened.key]


def test_stages_have_names_before_anything_runs(tmp_path):
    opened = open_cell([*TINY, "defense=[antidistillation,kgw,doge]", "attack=rl"], tmp_path / "none")
    stages = opened.stages()
    assert set(stages["key"]) == behind(opened)
    names = {
        "prepared.antidistillation",
        "evidence.student",
        "evidence.undefended",
        "passes.distilled",
        "proxy_student",
    }
    assert names <= set(stages["name"])
    assert not stages["stored"].any()
    assert stages["seconds"].null_count() == len(stages)
    assert not (tmp_path / "none").exists(), "nothing is written"


def test_the_row_and_the_configuration(cell):
    assert cell.row()["defense"] == "trace_hidden(fraction=1)"
    assert cell.row()["asked"] == cell.config.budget.queries == 60


def test_the_training_set_is_what_the_stage_holds(cell):
    rows, table = examples_of(cell.result("training_set")), cell.training_set()
    student = cell.model("base").lm
    assert table["text"].to_list() == student.decode(rows.completions)
    assert table["prompt"].to_list() == student.decode(rows.prompts)
    assert table["item"].to_list() == rows.item.tolist()
    assert table["learnt"].sum() == cell.result("student").meta["student_tokens"] > 0
    assert table["cut"].any(), "traces were hidden"
    assert not cell.training_set("undefended")["cut"].any()


def test_responses_are_what_the_defense_released(cell):
    table, twin = cell.responses(), cell.responses("undefended")
    assert len(table) == len(twin) == 60
    assert table["output_tokens"].to_list() == twin["output_tokens"].to_list(), "hidden tokens are billed"
    assert sum(table["text"].str.len_chars()) < sum(twin["text"].str.len_chars())
    tokens = harvested_of(cell.result("harvest")).responses.tokens
    assert table["text"].to_list() == cell.model("teacher").lm.decode(tokens)
    assert len(set(table["prompt"])) == len(set(table["item"]))


@pytest.mark.parametrize("of", ["student", "undefended", "self"])
def test_generations_are_what_was_released_without_defenses(cell, of):
    raw = cell.generations(of)
    plain = cell.responses(of if of == "self" else "undefended")
    assert raw.equals(plain.select("request", "prompt", "text", "finished"))


def test_generations_of_several_rounds_stand_beside_their_responses(adaptive):
    raw, released = adaptive.generations(), adaptive.responses()
    memos = [memo for memo in adaptive.result("harvest").manifest["memos"] if memo["stage"] == "generations"]
    assert len(memos) > 1
    assert len(raw) == len(released) == adaptive.row()["accepted"] == 50
    assert raw["prompt"].to_list() == released["prompt"].to_list()
    assert raw["finished"].to_list() == released["finished"].to_list()
    whole = adaptive.model("teacher").lm.encode(raw["text"].to_list()).lengths
    assert (whole >= adaptive.model("teacher").lm.encode(released["text"].to_list()).lengths).all()


def test_generations_that_were_removed_are_missed(cell, tmp_path):
    shutil.copytree(cell.store.root, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "generations")
    copy = open_cell(cell.composed.overrides, tmp_path / "copy")
    assert len(copy.responses()) == 60
    with pytest.raises(MoatBenchError, match="does not hold what was generated for response 0"):
        copy.generations()


@pytest.mark.parametrize("model", ["student", "teacher", "base", "undefended", "self"])
@pytest.mark.parametrize("decoding", ["greedy", "sampled"])
def test_answers_have_the_stored_grades(cell, model, decoding):
    for split, count in (("heldout", 24), ("harder", 8)):
        got = cell.answers(model, split, decoding)
        stored = cell.result(f"scores.{model}").table("items")
        stored = stored.filter((pl.col("split") == split) & (pl.col("decoding") == decoding))
        assert len(got) == count
        assert got.select("item", "strict", "finished").equals(stored.select("item", "strict", "finished"))
        assert got["text"].null_count() == 0, "drawn again"
        for text, tokens in zip(got["text"], stored["tokens"], strict=True):
            assert int(cell.model(model).lm.encode([text]).lengths[0]) <= tokens


def test_a_text_that_cannot_be_drawn_again_is_not_made_up(cell, tmp_path, monkeypatch):
    other = open_cell([*TINY, "seed=1"], cell.store.root).run(quiet=True)
    monkeypatch.setattr(OpenCell, "model", lambda self, name: other.__class__.__dict__["result"] and _of(other, name))
    assert cell.answers("student")["text"].null_count() > 0


def _of(other: OpenCell, name: str):
    from experiments.stages.loading import model_of
    from lm.texts import TextModel

    return TextModel(model_of(other._named[name], other.result(name)), 12)


def test_scores_of_a_model_are_those_of_its_own_answers(cell):
    teacher = cell.model("teacher")
    answered = cell.answers("teacher").filter(pl.col("family") != "tool")
    again = teacher.generate(answered["prompt"].to_list())
    assert again["text"].to_list() == answered["text"].to_list()
    ended = again.filter("finished")
    assert ended["finished"].to_list() == answered["finished"].to_list()
    scored = teacher.score(ended["prompt"].to_list(), ended["text"].to_list())
    assert scored["greedy"].list.all().all(), "a greedy answer is the first choice all along"


def test_models_differ_and_twins_are_there(cell):
    prompts = cell.answers("student")["prompt"].to_list()
    texts = cell.answers("teacher")["text"].to_list()
    found = {name: cell.model(name).score(prompts, texts)["logprob"].sum() for name in cell.last.scores}
    assert len(set(found.values())) == 5


def test_a_refined_student_and_the_one_before(adaptive):
    assert {"student", "distilled", "distilled_undefended", "distilled_self"} <= set(adaptive.stages()["name"])
    one, other = (adaptive.model(name).lm.model.state_dict() for name in ("student", "distilled"))
    assert any(not np.array_equal(one[name].numpy(), other[name].numpy()) for name in one)
    assert len(adaptive.answers("distilled")) == 24


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda c: c.model("studnet"), "model = 'studnet': is not there; did you mean 'student'"),
        (lambda c: c.result("harvst"), "did you mean 'harvest'"),
        (lambda c: c.training_set("teacher"), "choices: self, student, undefended"),
        (lambda c: c.answers("harvest"), "model = 'harvest'"),
        (lambda c: c.answers(split="train"), "choices: harder, heldout"),
        (lambda c: c.answers(decoding="beam"), "choices: greedy, sampled"),
    ],
)
def test_unknown_names_list_the_choices(cell, ask, message):
    with pytest.raises(ConfigError) as error:
        ask(cell)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.row(),
        lambda c: c.training_set(),
        lambda c: c.responses(),
        lambda c: c.generations(),
        lambda c: c.answers(),
        lambda c: c.model("teacher"),
    ],
)
def test_what_is_not_stored_says_how_to_get_it(tmp_path, ask):
    opened = open_cell(["defense=trace_hidden", "seed=3"], tmp_path / "empty")
    with pytest.raises(MoatBenchError) as error:
        ask(opened)
    assert "call .run()" in str(error.value)
    assert f"moatbench run defense=trace_hidden seed=3 store={tmp_path / 'empty'}" in str(error.value)


def test_a_stage_that_fails_is_told(tmp_path, monkeypatch):
    from experiments.stages.models import TeacherStage

    def fail(self, context):
        raise ValueError("no such luck")

    monkeypatch.setattr(TeacherStage, "run", fail)
    with pytest.raises(MoatBenchError, match=r"stage teacher failed: ValueError: no such luck\n  traceback: .*txt"):
        open_cell(TINY, tmp_path).run(quiet=True)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("defense=trace_hidden", "must be a list"),
        (["defense=trace_hiden"], "did you mean 'trace_hidden'"),
        (["seed=0,1"], "describes 2 cells, not one"),
        (["defense=temperature", "defense.temperature.tau=drop:0.05"], "is not a number yet: moatbench calibrate"),
    ],
)
def test_only_one_cell_that_there_is_can_be_opened(overrides, message, tmp_path):
    with pytest.raises(ConfigError) as error:
        open_cell(overrides, tmp_path / "empty")
    assert message in str(error.value)


def test_a_store_is_found_from_wherever_it_was_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened = open_cell([], "here")
    monkeypatch.chdir("/")
    assert opened.store.root == tmp_path / "here"
