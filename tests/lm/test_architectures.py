"""Architectures in all dressings say and learn what transformers itself does, and go through every stage of a cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

from experiments.cell_from import cell_from, check
from experiments.compose.compose import compose_one
from experiments.store.partial import Partial
from experiments.store.store import Store
from lm.examples import Examples
from lm.language_model import LanguageModel
from lm.ragged import Ragged
from lm.types import Channel, Sampling
from student.huggingface import HFRecipe, HFStudent
from student.objectives.sft import SFT
from tests.experiments.test_cell import run, table
from tests.lm.architectures import ARCHITECTURES, DRESSINGS, save
from tests.lm.sums import LuckySums

PROMPTS = ["What is 12 + 7? Think step by step.", "Hence?", "12"]
SAID = ["So the total is 19.\nAnswer: 19", "Answer: 3", "7"]
OPENED = [(name, dressing) for name in ARCHITECTURES for dressing in DRESSINGS]
TRAINED = [(name, training, d) for (name, training), d in zip(
    [(name, training) for name in ARCHITECTURES for training in ("full", "lora")], cycle(DRESSINGS), strict=False,
)]  # fmt: skip
Folders = Callable[[str, str], Path]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Folder of an architecture in a dressing, each made once."""
    logging.disable_progress_bar()
    root, made = tmp_path_factory.mktemp("architectures"), dict[tuple[str, str], Path]()

    def folder(name: str, dressing: str) -> Path:
        if (name, dressing) not in made:
            made[name, dressing] = save(root / name / dressing, name, DRESSINGS[dressing])
        return made[name, dressing]

    return folder


def student(folder: Path, dressing: str, training: str = "full") -> HFStudent:
    recipe = HFRecipe(steps=2, batch_size=3, lr=0.01, training=training, rank=4, alpha=8)
    template = "" if DRESSINGS[dressing].template else "plain"
    return HFStudent(str(folder), device="cpu", chat_template=template, recipe=recipe)


def padded(rows: list[np.ndarray], pad: int, left: bool) -> tuple[Tensor, Tensor]:
    """(B, T) tokens and their mask."""
    width = max(map(len, rows))
    ids, mask = torch.full((len(rows), width), pad), torch.zeros(len(rows), width, dtype=torch.int64)
    for r, row in enumerate(rows):
        at = slice(width - len(row), width) if left else slice(0, len(row))
        ids[r, at], mask[r, at] = torch.tensor(row.astype(np.int64)), 1
    return ids, mask


def transformers_says(model: PreTrainedModel, lm: LanguageModel, prompts: Ragged, most: int) -> list[list[int]]:
    """Greedy text of `generate`, up to where it ends."""
    ids, mask = padded(list(prompts), int(lm.tokenizer.pad_token_id), left=True)
    spare = list(range(len(lm.tokenizer), model.get_input_embeddings().weight.shape[0]))
    whole = model.generate(
        ids, attention_mask=mask, do_sample=False, max_new_tokens=most, suppress_tokens=spare or None
    )[:, ids.shape[1] :].tolist()
    ends = lm.ends.tolist()
    return [row[: 1 + next((i for i, t in enumerate(row) if t in ends), len(row))] for row in whole]


def examples(lm: LanguageModel) -> Examples:
    """Responses that end."""
    said = Ragged.of([[*row.tolist(), lm.tokenizer.eos_token_id] for row in lm.encode(SAID)])
    weight = np.ones(len(said.values), np.float32)
    return Examples(lm.encode_prompts(PROMPTS), said, lm.format.channels(said), weight, np.arange(3), np.zeros(3, bool))


def transformers_loss(model: PreTrainedModel, lm: LanguageModel, rows: Examples) -> float:
    whole = [np.concatenate(pair) for pair in zip(rows.prompts, rows.completions, strict=True)]
    ids, mask = padded(whole, int(lm.tokenizer.pad_token_id), left=False)
    labels = ids.masked_fill(mask == 0, -100)
    for row, prompt in zip(labels, rows.prompts, strict=True):
        row[: len(prompt)] = -100
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits[..., : len(lm.tokenizer)]
    return float(model.loss_function(logits=logits, labels=labels, vocab_size=logits.shape[-1]))


@pytest.mark.parametrize(("name", "dressing"), OPENED)
def test_what_is_said_and_how_likely_it_is(folders: Folders, name: str, dressing: str) -> None:
    """Prompts of unlike length in one batch, beyond the windows of Gemma."""
    folder = folders(name, dressing)
    lm = student(folder, dressing).open()
    reference = AutoModelForCausalLM.from_pretrained(folder).eval()
    prompts = lm.encode_prompts(PROMPTS)
    if DRESSINGS[dressing].bos:
        assert all(
            (row == lm.tokenizer.bos_token_id).sum() == 1 == (row[0] == lm.tokenizer.bos_token_id) for row in prompts
        )
    drawn = lm.generate(prompts, Sampling(0.0, 10), np.arange(3))
    assert [row.tolist() for row in drawn.tokens] == transformers_says(reference, lm, prompts, 10)
    np.testing.assert_allclose(lm.score(prompts, drawn.tokens).logprob, drawn.logprob, atol=2e-5)
    if dressing == "thinking":
        unended = ~np.isin(drawn.tokens.values, lm.ends)
        assert (drawn.channel[unended] == Channel.TRACE).all(), "its template has opened the working"
    rows = examples(lm)
    loss = -float(lm.score(rows.prompts, rows.completions).logprob.mean())
    assert loss == pytest.approx(transformers_loss(reference, lm, rows), abs=1e-5)


@pytest.mark.parametrize(("name", "training", "dressing"), TRAINED)
def test_what_is_learnt_is_the_same_twice(folders: Folders, name: str, training: str, dressing: str) -> None:
    """From the loss that transformers has; GPT-2 would otherwise drop units at random."""
    folder = folders(name, dressing)
    spec = student(folder, dressing, training)
    lm = spec.load(LuckySums(), {}, 0)
    rows = examples(lm)
    first, second = (spec.fit(lm, rows, SFT(), 0, lambda done, total, note="": None) for _ in range(2))
    reference = AutoModelForCausalLM.from_pretrained(folder).eval()
    assert first.losses[0] == pytest.approx(transformers_loss(reference, lm, rows), abs=1e-5)
    assert first.losses[1] < first.losses[0]
    assert all(torch.equal(first.weights[n], second.weights[n]) for n in first.weights)
    assert all("lora_" in n for n in first.weights) == (training == "lora")
    again = spec.load(LuckySums(), first.weights, 0)
    assert (again.score(rows.prompts, rows.completions).logprob.mean()) > -first.losses[1]


def test_an_adapter_is_on_every_linear_layer_but_the_head(folders: Folders) -> None:
    """GPT-2 keeps its matrices the other way round, and NeoX has queries, keys and values in one."""
    layers = {"llama": 7, "qwen2": 7, "gpt2": 4, "neox": 4, "gemma2": 7, "gemma3": 7}
    for name, count in layers.items():
        spec = student(folders(name, "plain"), "plain", "lora")
        lm = spec.load(LuckySums(), {}, 0)
        found = spec.within(1).fit(lm, examples(lm), SFT(), 0, lambda done, total, note="": None).weights
        assert len(found) == 2 * 2 * count, name


def test_rows_of_the_embeddings_that_are_no_tokens_are_never_said(folders: Folders, tmp_path: Path) -> None:
    """Here they are what the model would like best to say."""
    folder = save(tmp_path, "neox", replace(DRESSINGS["plain"], more_rows=30))
    tensors = load_file(folder / "model.safetensors")
    tensors["embed_out.weight"][-30:] *= 100
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    lm = student(folder, "plain").open()
    drawn = lm.generate(lm.encode_prompts(PROMPTS), Sampling(1.0, 20, 3), np.arange(3))
    assert lm.vocabulary == len(lm.tokenizer) > drawn.tokens.values.max()
    assert drawn.top_ids is not None
    assert drawn.top_ids.max() < len(lm.tokenizer)
    assert student(folders("neox", "plain"), "plain").open().vocab == lm.vocab


CELLS = [
    (name, dressing, training)
    for name, dressing, training in zip(ARCHITECTURES, cycle(DRESSINGS), cycle(("lora", "full")), strict=False)
    if name != "gemma2"  # which its sister stands for here, to save time
]


@pytest.mark.parametrize(("name", "dressing", "training"), CELLS)
def test_a_whole_cell(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, dressing: str, training: str
) -> None:
    """Teacher, base, harvest, fit, scores, reinforcement, provenance; the teacher's embeddings are padded otherwise.
    Whatever samples keeps what it has drawn."""
    kept, put = set(), Partial.put
    monkeypatch.setattr(
        Partial, "put", lambda self, *rest: kept.add(self.folder.name.split("-")[0]) or put(self, *rest)
    )
    teacher = save(tmp_path / "teacher", name, replace(DRESSINGS[dressing], more_rows=40))
    template = "" if DRESSINGS[dressing].template else "plain"
    words = [f"{part}.{field}={value}" for part, path in (("teacher", teacher), ("student", folders(name, dressing)))
             for field, value in (("path", path), ("chat_template", template), ("device", "cpu"))]  # fmt: skip
    composed = compose_one([
        "teacher=hf", "student=hf", *words, f"student.recipe.training={training}", "student.recipe.steps=2",
        "student.recipe.batch_size=4", "budget=lm", "budget.queries=8", "budget.data=8", "measure.heldout=2",
        "measure.harder=0", "measure.population.accounts=10", "max_tokens=12", "api=logprobs", "attack=rl",
        "attack.refine.rl.steps=2", "attack.refine.rl.prompts=2", "attack.refine.rl.samples=3",
        "defense=[contrastive,kgw,kgw_radioactivity]", "defense.kgw.tokens=12", "measure.pass_items=1",
    ])  # fmt: skip
    cell = replace(cell_from(composed.config), task=LuckySums())
    check(cell)
    row, store = cell.row_stage(), Store(tmp_path / "store")
    run(store, [row])
    assert kept >= {"harvest", "honest", "refine", "scores", "pass_at_k"}
    facts = table(store, row, "row").to_dicts()[0]
    assert facts["asked"] == facts["accepted"] == 8
    assert set(table(store, row, "passes").group_by("model").len()["len"]) == {1}, "of two held-out items"
    assert table(store, row, "items").filter(model="student", decoding="greedy").height == 2
    assert all(0 <= facts[name] <= 1 for name in facts if name.startswith("evidence_p"))
    assert facts["evidence_p"] is not None
