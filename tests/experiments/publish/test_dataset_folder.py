"""A stored cell as a dataset: what `datasets` loads is what the cell holds; the card says what it is and obeys nobody."""

from __future__ import annotations

import json

import polars as pl
import pytest
import yaml

from configs.errors import ConfigError
from experiments.cli import main
from experiments.publish.dataset_card import dataset_card
from experiments.publish.dataset_tables import DatasetPart
from experiments.store.maintenance.lineage import Lineage, Origin

EVIL = "x | [y](http://evil) <script>\n---\n# big `code` \x1b[31m"


@pytest.fixture(scope="module")
def folder(tiny_cell, tiny_store, tmp_path_factory):
    path = tmp_path_factory.mktemp("datasets") / "mine"
    words = [tiny_cell.key[:10], str(path), f"store={tiny_store}", "--jsonl", "--licence", "cc-by-4.0"]
    assert main(["dataset", *words]) == 0
    return path


@pytest.fixture(scope="module")
def loaded(folder, tmp_path_factory):
    from datasets import load_dataset

    cache = str(tmp_path_factory.mktemp("cache"))
    return {name: load_dataset(str(folder), name, cache_dir=cache) for name in ("harvest", "training", "answers")}


def test_what_is_loaded_is_what_the_cell_holds(loaded, tiny_cell):
    assert set(loaded["harvest"]) == set(loaded["training"]) == {"defended", "undefended", "without_teacher"}
    for split, of in (("defended", "student"), ("undefended", "undefended"), ("without_teacher", "self")):
        got, raw = tiny_cell.responses(of), tiny_cell.generations(of)
        assert loaded["harvest"][split]["response"][:] == got["text"].to_list()
        assert loaded["harvest"][split]["prompt"][:] == got["prompt"].to_list()
        assert loaded["harvest"][split]["generated"][:] == raw["text"].to_list()
        assert loaded["training"][split]["text"][:] == tiny_cell.training_set(of)["text"].to_list()
    answers = loaded["answers"]["heldout"].to_polars()
    own = answers.filter((pl.col("model") == "student") & (pl.col("decoding") == "greedy"))
    assert own["text"].to_list() == tiny_cell.answers()["text"].to_list()
    stored = tiny_cell.result("scores.undefended").table("items").filter(split="heldout", decoding="sampled")
    twin = answers.filter(model="undefended", decoding="sampled")
    assert twin["strict"].to_list() == stored["strict"].to_list()
    assert set(answers["model"]) == {"student", "undefended", "self", "base"}


def test_features_and_splits_are_declared(folder, loaded):
    head = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    assert head["license"] == "cc-by-4.0"
    for info in head["dataset_info"]:
        found = loaded[info["config_name"]]
        assert {s["name"]: s["num_examples"] for s in info["splits"]} == {n: s.num_rows for n, s in found.items()}
        for split in found.values():
            declared = {f["name"]: f["dtype"] for f in info["features"]}
            assert {name: feature.dtype for name, feature in split.features.items()} == declared
    assert [config["config_name"] for config in head["configs"] if config.get("default")] == ["harvest"]


def test_json_lines_say_the_same(folder, loaded):
    for name, found in loaded.items():
        for split, table in found.items():
            lines = (folder / "jsonl" / name / f"{split}.jsonl").read_text().splitlines()
            assert [json.loads(line) for line in lines] == table.to_list()


def test_the_card_says_what_it_is_and_how_to_make_it_again(folder, tiny_cell):
    text = (folder / "README.md").read_text()
    assert "| defense | trace\\_hidden(fraction=1) |" in text
    assert f"Row `{tiny_cell.key}`" in text
    assert "moatbench run " in text
    assert json.loads((folder / "provenance.json").read_text())["row"] == tiny_cell.key
    assert yaml.safe_load((folder / "config.yaml").read_text())["budget"]["queries"] == 60


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{key}", "{path}"], "is there already"),
        (["{key}", "{new}", "--licence", "Not One\n"], "must be an identifier"),
        (["{key}"], "ROW = ''"),
        ([], "must name a folder"),
    ],
)
def test_what_cannot_be_is_refused(folder, tiny_cell, tiny_store, tmp_path, words, message, capsys):
    places = {"key": tiny_cell.key[:10], "path": folder, "new": tmp_path / "new"}
    if len(words) == 1:
        words = ["{new}"]
    assert main(["dataset", *(word.format(**places) for word in words), f"store={tiny_store}"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_names_are_not_obeyed_by_the_card():
    part = DatasetPart("harvest", "All.", {"a": "b"}, {"defended": pl.DataFrame({"a": [1]})})
    cell = {"defense": EVIL, "attack": EVIL, "teacher": "hf(/home/somebody/model)", "seed": 0}
    lineage = Lineage(("k",), (Origin(EVIL, False, (), "3.12", EVIL, ""),))
    text = dataset_card([part], cell, "k" * 32, lineage, [f"moatbench run x='```{EVIL}'"], "unknown", [EVIL])
    assert "\x1b" not in text
    assert "/home/" not in text
    front, body = text.split("---\n", 2)[1:]
    assert EVIL.split(" |")[0] in yaml.safe_load(front)["pretty_name"]
    outside = body.split("````bash")[0] + body.split("````\n")[-1]
    assert "<script>" not in outside.replace("\\<script\\>", "")
    assert "](http" not in outside
    assert not any(line.startswith("# big") for line in body.splitlines())
    rows = [line for line in outside.splitlines() if line.startswith("| defense")]
    assert len(rows) == 1
    assert rows[0].replace("\\|", "").count("|") == 3


def test_a_licence_is_an_identifier():
    with pytest.raises(ConfigError, match="--licence"):
        dataset_card([], {}, "k", Lineage(), [], "x: y", [])
