"""Refining a Hugging Face student: rewards go up, the student given is left as it was, the refined one is stored whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from attacks.base import Refine
from attacks.refine.rft import RFT
from attacks.refine.rl import RL
from experiments.store.partial import Partial
from experiments.store.store import Store
from lm import underway
from lm.cached import CachedModel
from lm.examples import Examples
from lm.language_model import LanguageModel
from lm.train import Trainer
from student.huggingface import HFRecipe, HFStudent
from student.objectives.sft import SFT
from tasks.base import Task
from tests.attacks.refine_world import TEXTS, no_rows, refine_context, weights
from tests.experiments.fakes import Fake
from tests.lm import tiny

torch.set_num_threads(1)
TASK: Task = SimpleNamespace()  # type: ignore[assignment]
REFINES = {
    "rl": RL(steps=12, prompts=16, samples=16, lr=3e-3),
    "rft": RFT(rounds=4, samples=32, keep_data=False),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("tiny"))


def quiet(done: int, total: int, note: str = "") -> None:
    pass


def distilled(folder: Path, training: str) -> tuple[HFStudent, LanguageModel]:
    """A student that was fitted to a few rows, as it is loaded from what is stored of it."""
    recipe = HFRecipe(steps=20, batch_size=8, lr=5e-3, training=training, rank=4, alpha=8)
    spec = HFStudent(str(folder), device="cpu", recipe=recipe)
    base = spec.load(TASK, {}, 0)
    completions = base.encode(["So the total is 19.", "Hence, it equals"])
    channel = base.format.channels(completions)
    prompts = base.encode_prompts(TEXTS[:2])
    weight = np.ones(len(channel), np.float32)
    rows = Examples(prompts, completions, channel, weight, np.arange(2), np.zeros(2, bool))
    return spec, spec.load(TASK, spec.fit(base, rows, SFT(), 0, quiet).weights, 0)


def says_a_digit(item: int, text: str) -> bool:
    return any(letter.isdigit() for letter in text)


def refined(spec: HFStudent, student: LanguageModel, refine: Refine) -> tuple[LanguageModel, np.ndarray]:
    def fit(rows: Examples, start: LanguageModel | None = None) -> LanguageModel:
        return spec.load(TASK, spec.fit(start or student, rows, SFT(), 1, quiet).weights, 0)

    context = refine_context(says_a_digit, student=student, fit=fit, max_tokens=2, data=no_rows(student))
    found = refine.run(context)
    return found.model, found.curve


def said(lm: LanguageModel) -> np.ndarray:
    completions = lm.encode(["So the total is 19."] * len(TEXTS))
    return lm.score(lm.encode_prompts(TEXTS), completions).logprob


@pytest.mark.parametrize("training", ["lora", "full"])
@pytest.mark.parametrize("name", REFINES)
def test_rewards_rise_and_what_is_stored_is_the_refined_student(folder: Path, training: str, name: str) -> None:
    spec, student = distilled(folder, training)
    before, as_base = weights(student), said(spec.load(TASK, {}, 0))
    found, curve = refined(spec, student, REFINES[name])
    assert curve[-1] > 0.6 > 0.3 > curve[0], curve
    assert all(torch.equal(before[key], value) for key, value in weights(student).items())
    again = spec.load(TASK, load(save(spec.stored(found))), 0)
    np.testing.assert_allclose(said(again), said(found), atol=1e-5)
    assert np.abs(said(again) - said(student)).max() > 0.1
    assert np.abs(said(again) - as_base).max() > 0.1
    small = name == "rft" and training == "lora"
    assert all("lora_" in key for key in spec.stored(found)) == small


class Killed(BaseException):
    """What stands for the kill."""


def counting(method: Callable[..., Any], calls: list[None]) -> Callable[..., Any]:
    """The method, which notes each of its calls."""

    def counted(*args: Any, **named: Any) -> Any:
        calls.append(None)
        return method(*args, **named)

    return counted


@pytest.mark.parametrize("kl", [0.0, 0.1])
def test_reinforcement_goes_on_after_a_kill_to_the_same_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kl: float
) -> None:
    monkeypatch.setattr(underway, "SAVE_SECONDS", 0.0)
    _, student = distilled(folder, "lora")
    taken: list[None] = []
    drawn: list[None] = []
    monkeypatch.setattr(Trainer, "step", counting(Trainer.step, taken))
    monkeypatch.setattr(CachedModel, "read", counting(CachedModel.read, drawn))

    def reinforced(dies_after: int | None, keep: Partial | None) -> tuple[LanguageModel, np.ndarray, int]:
        def progress(done: int, total: int, note: str = "") -> None:
            if note.startswith("reward") and done == dies_after:
                raise Killed

        context = replace(refine_context(says_a_digit, student=student, max_tokens=2), progress=progress)
        taken.clear()
        drawn.clear()
        with underway.watched(quiet, keep), underway.saving_as("refine"):
            found = RL(steps=6, prompts=8, samples=8, lr=3e-3, kl=kl).run(context)
        return found.model, found.curve, context.compute.tokens

    keep = Partial(Store(tmp_path), Fake("long"))
    whole, curve, tokens = reinforced(None, None)
    work = len(taken), len(drawn)
    with pytest.raises(Killed):
        reinforced(4, keep)
    second, again, same = reinforced(None, keep)
    assert np.array_equal(again, curve)
    assert same == tokens, "what is drawn again from what was kept is booked again"
    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(second).items())
    assert len(taken) < work[0]
    assert len(drawn) < work[1]


@pytest.mark.parametrize("training", ["lora", "full"])
def test_a_student_that_is_left_alone_is_stored_as_it_was(folder: Path, training: str) -> None:
    spec, student = distilled(folder, training)
    again = spec.load(TASK, load(save(spec.stored(student))), 0)
    assert all(torch.equal(value, weights(student)[key]) for key, value in weights(again).items())
    assert math.isclose(float(said(again).sum()), float(said(student).sum()), rel_tol=1e-6)
