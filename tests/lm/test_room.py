"""Memory is measured where it can be, and what a plan is told grows with what takes it."""

import numpy as np
import pytest
import torch

from lm import room
from lm.checkpoint import Checkpoint
from lm.footprint import footprint_of
from lm.room import LEAST, MOST, UNKNOWN, tokens_that_fit
from lm.train import Trainer
from student.huggingface import HFRecipe
from student.objectives.sft import SFT
from tests.lm.test_generate import llama
from tests.lm.test_learnt_logits import ROWS
from tests.lm.tiny import save

CPU = torch.device("cpu")


@pytest.mark.skipif(not room._begin(CPU), reason="the peak of memory cannot be reset here")
def test_what_fits_follows_from_what_two_trials_took(monkeypatch):
    monkeypatch.setattr(room, "free_memory", lambda device: 24 * 2**30)

    def work(units):
        np.ones(units * 2**23, np.uint64)  # 64 MB, more than malloc keeps, a unit of 128 tokens: 512 kB a token
        return 128 * units

    assert tokens_that_fit(work, CPU) == 16_384, "the power of two below 24,576"
    monkeypatch.setattr(room, "free_memory", lambda device: 2**20)
    assert tokens_that_fit(work, CPU) == LEAST
    monkeypatch.setattr(room, "free_memory", lambda device: 2**44)
    assert tokens_that_fit(work, CPU) == MOST


def test_where_nothing_can_be_measured_a_cautious_number_is_taken(monkeypatch):
    monkeypatch.setattr(room, "_begin", lambda device: False)
    assert tokens_that_fit(lambda units: units, CPU) == UNKNOWN


def test_a_fit_that_measures_learns_the_same(monkeypatch):
    losses, weights = [], []
    for micro_tokens in (0, 4096):
        model = llama().model
        trainer = Trainer(model, SFT().losses, HFRecipe(steps=2, training="full", micro_tokens=micro_tokens), 0)
        losses.append([trainer.step(ROWS) for _ in range(2)])
        weights.append(model.lm_head.weight)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(weights[0], weights[1])
    assert llama().with_batch_tokens().batch_tokens in {2**i for i in range(10, 17)}


def test_what_is_told_grows_with_batches_and_with_what_is_trained(tmp_path):
    found = footprint_of(Checkpoint(str(save(tmp_path))), {})
    assert found is not None
    cached = 1.5 * 2 * 2 * 2 * 8 * 4  # room to grow, layers, keys and values, heads, places, bytes
    layer = 4 * (8 * 32 + 3 * 64) + 12 * 32
    assert found.sampling(2048) - found.sampling(2047) == cached + layer + found.vocabulary * 16, "and one row more"
    assert found.fit(10, found.weights, 4) - found.fit(10, 0, 4) == 3 * found.weights
    assert footprint_of(Checkpoint("a/hub-name"), {}) is None
