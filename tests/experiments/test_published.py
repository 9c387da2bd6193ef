"""Recipes of published settings compose and plan offline: tiny random models of the same architectures and a few rows with
the data set's columns stand in for what is on the hub. Nothing is run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config, Qwen3Config

import configs
from experiments.cli import main
from experiments.compose.compose import Composed, compose_cells
from experiments.compose.experiment_notes import NOTES
from experiments.compose.grids import notes_of
from tests.lm import tiny

FOLDER = Path(configs.__file__).parent / "experiment" / "published"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
FAMILIES = {"qwen3": "qwen3", "qwen": "qwen2", "llama": "llama"}
"""What stands in a model's name on the hub -> its architecture; the first that does."""
PAPERS = {"2504.13146", "2603.07267", "2603.07835", "2605.22737", "2609.35699"}
POSITIONS = 16_384
QUERIES = 24


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Architecture -> a folder with a random model of it."""
    folders = {name: tmp_path_factory.mktemp(name) for name in FAMILIES.values()}
    tiny.save(folders["llama"], positions=POSITIONS, template=False)  # as Llama-3.2-3B, which brings no chat template
    made = tiny.tokenizer()
    shape = {
        "vocab_size": len(made) + 8,  # more rows than tokens, as Qwen's models have
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": POSITIONS,
        "eos_token_id": made.eos_token_id,
    }
    with torch.random.fork_rng():
        for config in (Qwen2Config(**shape), Qwen3Config(**shape, head_dim=8)):
            AutoModelForCausalLM.from_config(config).save_pretrained(folders[config.model_type])
            made.save_pretrained(folders[config.model_type])
    return folders


def rows_like(task: dict[str, object], count: int) -> list[dict[str, object]]:
    """Rows with the columns that a recipe names."""
    mark = task["answer_after"]
    rows = []
    for i in range(count):
        answer = f"{i} + {i} = {2 * i}\n{mark} {2 * i}" if mark else str(2 * i)
        row = {str(task["question"]): f"What is {i} + {i}?", str(task["answer"]): answer}
        rows.append({**row, **({str(task["level"]): 1 + i % 5} if task["level"] else {})})
    return rows


def replaced(cells: list[Composed], stand_ins: dict[str, Path], place: Path) -> list[str]:
    """Overrides that put what is here in the place of what is on the hub."""
    task = cells[0].plain["task"]
    place.mkdir()
    (place / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_like(task, 300)))
    held = [{**row, task["question"]: f"{row[task['question']]} Again."} for row in rows_like(task, 12)]
    (place / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in held))
    models = {role: cells[-1].plain[role] for role in ("teacher", "student", "proxy") if cells[-1].plain.get(role)}
    named = {role: model["path"] for role, model in models.items() if "path" in model}
    return [
        f"task.path={place}",
        f"budget.queries={QUERIES}",
        f"budget.data={QUERIES}",
        "measure.heldout=4",
        "seed=0",
        *(f"{role}.path={stand_ins[architecture_of(name)]}" for role, name in named.items()),
        *(f"{role}.batch_tokens=1024" for role in named),
    ]


def architecture_of(name: str) -> str:
    return next(architecture for word, architecture in FAMILIES.items() if word in name.lower())


def test_there_is_a_recipe_for_each_paper():
    sources = " ".join(OmegaConf.load(FOLDER / f"{name}.yaml").source for name in NAMES)
    assert set(re.findall(r"arXiv (\d{4}\.\d{5})", sources)) == PAPERS


def test_stand_ins_are_of_the_architectures_that_are_named(stand_ins):
    for architecture, folder in stand_ins.items():
        assert AutoConfig.from_pretrained(folder).model_type == architecture


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_planned_with_stand_ins(name, stand_ins, tmp_path, capsys):
    asked = f"+experiment=published/{name}"
    cells = compose_cells([asked])
    seeds = [cell.plain["seed"] for cell in cells]
    assert len({seeds.count(seed) for seed in seeds}) == 1, "each seed has the same cells"
    assert len(set(seeds)) >= 2
    overrides = [asked, *replaced(cells, stand_ins, tmp_path / "data")]
    where = [f"store={tmp_path / 'store'}", f"out={tmp_path / 'out'}"]
    assert main(["sweep", *overrides, *where, "--dry-run"]) == 0
    told = capsys.readouterr()
    count = len(compose_cells(overrides))
    assert f"{count} cells: " in told.err
    planned = dict(re.findall(r"│ (row|harvest) +│ +\d+ │ +(\d+) │", told.out))
    assert planned["row"] == str(count), "no two grids share a cell"
    assert int(planned["harvest"]) > 0
    flat = " ".join(told.out.split())
    notes = notes_of([asked])[f"published/{name}"]
    assert all(" ".join(line.split()) in flat for line in notes.lines())


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_says_where_it_comes_from_and_what_to_expect(name):
    notes = notes_of([f"+experiment=published/{name}"])[f"published/{name}"]
    assert all(getattr(notes, field) for field in NOTES)
    assert re.search(r"arXiv \d{4}\.\d{5}", notes.source)
    assert any(re.search(r"\d", line) for line in notes.expected)
    assert "estimated" in notes.hours
    assert "estimated" in notes.memory
    assert "H200" in notes.hours
