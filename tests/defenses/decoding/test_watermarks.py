"""What every watermark in ``configs/defense`` promises of its test: p is uniform for who knows nothing of the secret, and
only because repeats are not counted (claim C9, Sander et al.)."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
from scipy.stats import kstest

from defenses.decoding import marks
from defenses.decoding.watermark import Watermark
from lm.ragged import Ragged
from lm.types import Channel, Generations
from tests.defenses.decoding.drawing import detection
from tests.defenses.decoding.models import model
from tests.defenses.test_contract import DEFENSES, defense_of

WATERMARKS = [name for name in DEFENSES if isinstance(defense_of(name), Watermark)]
TEXTS = [f"w{i % 20} w{i * 7 % 20}" for i in range(30)]
SUSPECTS, SECRETS = 20, 12
ALLOWS_FOR_REPEATS = {"synthid"}
"""Its null is made of the very pairs that are given, repeats and all: they are no evidence to it, and p stays uniform."""


class Clean:
    """A suspect that never met the teacher: it says random text that repeats itself, as sure of it as a random model is."""

    def __init__(self, seed, length=30):
        self.lm, rng = model(seed=100 + seed), np.random.default_rng(seed)
        walk = np.empty((len(TEXTS), length), np.int64)
        step = rng.dirichlet(np.full(20, 0.15), 20)
        walk[:, 0] = rng.integers(0, 20, len(TEXTS))
        for t in range(1, length):
            u = rng.random((len(TEXTS), 1))
            walk[:, t] = (step[walk[:, t - 1]].cumsum(1) < u).sum(1).clip(max=19)
        self.said = Ragged.of(list(walk + 4))
        self.scores = None

    def __getattr__(self, name):
        return getattr(self.lm, name)

    def generate(self, prompts, sampling, seeds):
        n = len(self.said.values)
        channel = np.full(n, Channel.ANSWER, np.uint8)
        return Generations(self.said, channel, np.zeros(n, np.float32), np.ones(len(self.said), np.bool_))

    def score(self, prompts, completions, top_k):
        if self.scores is None:
            assert len(completions) == len(self.said), "all in one block"
            self.scores = self.lm.score(prompts, completions, top_k)
        return self.scores


@pytest.fixture(scope="module")
def suspects():
    return [Clean(seed) for seed in range(SUSPECTS)]


def found(name, suspects):
    """p of every suspect under every secret, as `detect` gives it, and how many things it was of."""
    mark = dataclasses.replace(defense_of(name), width=1)
    each = [
        mark.detect(detection(suspect, secret=1000 * s + secret, texts=TEXTS))
        for s, suspect in enumerate(suspects)
        for secret in range(SECRETS)
    ]
    return np.array([evidence.p for evidence in each]), np.array([evidence.looked_at for evidence in each])


def test_there_are_some():
    assert set(WATERMARKS) >= {"kgw", "synthid", "adfp", "gumbel"}


@pytest.mark.parametrize("name", WATERMARKS)
def test_p_is_uniform_for_who_knows_nothing_and_only_if_repeats_do_not_count(name, suspects, monkeypatch):
    once, looked_at = found(name, suspects)
    assert kstest(once, "uniform").pvalue > 0.01
    assert (once < 0.01).mean() < 0.03
    for module in (marks, sys.modules[type(defense_of(name)).__module__]):
        monkeypatch.setattr(module, "firsts", lambda rows: np.arange(len(rows)), raising=False)
    repeated, all_of_them = found(name, suspects)
    assert (all_of_them > 2 * looked_at).all()
    if name in ALLOWS_FOR_REPEATS:
        assert kstest(repeated, "uniform").pvalue > 0.01
    else:
        assert kstest(repeated, "uniform").pvalue < 1e-6
        assert (repeated < 0.01).mean() > 0.05, "falsely small"
