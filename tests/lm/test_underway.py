"""A kill in the middle of a harvest or of a fit costs what was not kept: going on gives the same rows and weights."""

import numpy as np
import pytest
import torch

from experiments.store.partial import Partial
from experiments.store.store import Store
from lm import underway
from lm.generate import generate
from lm.handle import ModelHandle
from lm.train import epochs, train
from lm.types import Sampling
from lm.underway import Pace, saved, saving_as, watched
from student.huggingface import HFRecipe
from student.objectives.sft import SFT
from tests.experiments.fakes import Fake
from tests.lm.mini.tiny import tiny
from tests.lm.test_generate import PROMPTS, SEEDS, llama
from tests.lm.test_growing import gpt2
from tests.lm.test_learnt_logits import ROWS


class Killed(BaseException):
    """What stands for the kill."""


class KilledAfter:
    """Counts what is told, and dies at a given time."""

    def __init__(self, most):
        self.most, self.notes = most, []

    def __call__(self, done, total, note=""):
        self.notes.append((done, total, note))
        if len(self.notes) == self.most:
            raise Killed


def partial(tmp_path):
    return Partial(Store(tmp_path), Fake("long"))


def harvest(model, progress, keep):
    lm = ModelHandle(model, tiny().tokenizer, tiny().format, batch_tokens=100)
    read = []
    model.register_forward_pre_hook(lambda m, args, given: read.append(len(given["input_ids"])), with_kwargs=True)
    with watched(progress, keep), saving_as("these"):
        return generate(lm, PROMPTS, Sampling(1.0, 12, 2), SEEDS), sum(read)


def test_a_harvest_goes_on_with_the_same_rows(tmp_path):
    whole, work = harvest(llama().model, KilledAfter(None), None)
    with pytest.raises(Killed):
        harvest(llama().model, KilledAfter(40), partial(tmp_path))
    assert list(partial(tmp_path).folder.iterdir()), "something was kept"
    second, less = harvest(llama().model, KilledAfter(None), partial(tmp_path))
    for name in ("logprob", "top_ids", "top_logprobs", "finished", "channel"):
        assert np.array_equal(getattr(second, name), getattr(whole, name)), name
    assert np.array_equal(second.tokens.values, whole.tokens.values)
    assert np.array_equal(second.tokens.offsets, whole.tokens.offsets)
    assert less < work, "what was kept is not drawn again"
    other = generate(llama(), PROMPTS, Sampling(0.5, 12, 2), SEEDS)
    with watched(KilledAfter(None), partial(tmp_path)), saving_as("these"):
        again = generate(llama(), PROMPTS, Sampling(0.5, 12, 2), SEEDS)
    assert np.array_equal(again.tokens.values, other.tokens.values), "another temperature is other work"


def fitted(progress, keep):
    model = gpt2()  # it has dropout
    torch.set_rng_state(torch.Generator().manual_seed(3).get_state())
    recipe = HFRecipe(steps=9, batch_size=4, training="full", lr=1e-2)
    batches = epochs(ROWS, recipe, np.random.default_rng(5))
    with watched(progress, keep), saving_as("student"):
        return model, train(model, batches, SFT().losses, recipe, 0, progress)


def test_a_fit_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(underway, "SAVE_SECONDS", 0.0)
    before = torch.get_rng_state()
    model, curve = fitted(KilledAfter(None), None)
    with pytest.raises(Killed):
        fitted(KilledAfter(5), partial(tmp_path))
    going = KilledAfter(None)
    second, losses = fitted(going, partial(tmp_path))
    torch.set_rng_state(before)
    assert [done for done, _, _ in going.notes] == [6, 7, 8, 9]
    assert np.array_equal(losses, curve)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), second.parameters(), strict=True))
    assert "tokens/s" in going.notes[0][2]
    assert going.notes[0][2].endswith("left")


def test_only_named_work_of_large_models_is_kept(tmp_path):
    keep = partial(tmp_path)
    with watched(KilledAfter(None), keep):
        assert saved() is None
        with saving_as("this"):
            assert saved() is not None
            generate(tiny(), PROMPTS, Sampling(1.0, 3), SEEDS)
    assert not keep.folder.exists(), "mini models are done in seconds"
    assert saved() is None


def test_what_is_cut_counts_as_none_and_all_goes_when_the_stage_is_stored(tmp_path):
    keep = partial(tmp_path)
    keep.put("a", {"x": torch.arange(3)})
    assert keep.get("a")["x"].tolist() == [0, 1, 2]
    (file,) = keep.folder.iterdir()
    file.write_bytes(file.read_bytes()[:-4])
    assert keep.get("a") is None
    keep.remove()
    assert not keep.folder.exists()


def test_the_pace_says_tokens_a_second_and_the_time_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(underway.time, "monotonic", lambda: now[0])
    pace = Pace(100)
    pace.add(3000)
    now[0] = 10.0
    assert pace.note(0) == "300 tokens/s"
    assert pace.note(20) == "300 tokens/s, 40 s left"
    assert pace.note(2) == "300 tokens/s, 8 min left"
