"""Responses of the tiny random models under a decoding defense, for tests."""

from __future__ import annotations

import numpy as np
import torch

from defenses.base import Detection, Serving
from lm.ragged import Ragged
from lm.types import Sampling
from tests.defenses.asking import asked
from tests.defenses.decoding.models import model

TEACHER, SECOND = model(seed=1), model("gpt2", seed=2)
PROMPTS = Ragged.of([[1, 5, 6], [1, 9], [1, 4, 4, 7, 8], [1, 12, 7]])
TAU = np.array([1.0, 0.5, 1.7, 0.0])
"""A temperature for each of the prompts, the last greedy."""
TEXTS = [" ".join(f"w{(7 * i + j) % 20}" for j in range(3)) for i in range(60)]


def processors(defense, second=SECOND, teacher=TEACHER, rows=4, seed=5, **columns):
    """What a defense does, in a list; empty where it does nothing."""
    built = defense.decode(Serving(teacher, lambda name: second, seed=seed), asked(rows, **columns))
    return [] if built is None else [built]


def drawn(acting, temperature=1.0, order=None, most=8, seed=50):
    """Generations with all logprobs, of the prompts in the given order."""
    order = np.arange(len(PROMPTS)) if order is None else order
    tau = temperature if np.ndim(temperature) == 0 else temperature[order]
    sampling = Sampling(tau, most, top_logprobs=TEACHER.vocabulary)
    return TEACHER.generate(PROMPTS.take(order), sampling, order + seed, acting)


@torch.no_grad()
def logits(lm, ids):
    """(V,) of the token after ``ids``."""
    return lm.model(input_ids=torch.tensor([[int(i) for i in ids]])).logits[0, -1]


def assert_every_step(found, by_hand, tau=TAU, atol=2e-4):
    """Every sold logprob is that of ``by_hand(row, prefix)`` (V,), and greedy rows take the largest."""
    assert found.tokens.lengths.max() > 3
    for r, row in enumerate(found.tokens):
        start = found.tokens.offsets[r]
        for t in range(len(row)):
            expected = by_hand(r, [*PROMPTS[r], *row[:t]])
            ids = torch.from_numpy(found.top_ids[start + t].astype(np.int64))
            told = torch.from_numpy(found.top_logprobs[start + t])
            torch.testing.assert_close(told, expected[ids], atol=atol, rtol=1e-5)
            if tau[r] == 0:
                assert row[t] == int(expected.argmax())


def assert_batch_says_nothing(defense, **columns):
    """Each prompt's response is the same alone and beside others."""
    rows = {}
    for order in (np.arange(4), np.array([2]), np.array([3, 0, 1])):
        facts = {name: column[order] for name, column in columns.items()}
        found = drawn(processors(defense, rows=len(order), **facts), order=order, most=12)
        for r, row in zip(order.tolist(), found.tokens, strict=True):
            assert rows.setdefault(r, row.tolist()) == row.tolist()


class Marked:
    """Says what the teacher says under a watermark: a student that learnt all of it."""

    def __init__(self, lm, watermark, secret, second=SECOND):
        serving = Serving(lm, lambda name: second, seed=secret)
        self.lm, self.processor = lm, watermark.decode(serving, asked(len(TEXTS)))

    def __getattr__(self, name):
        return getattr(self.lm, name)

    def generate(self, prompts, sampling, seeds):
        return self.lm.generate(prompts, sampling, seeds, [self.processor])


def detection(suspect, teacher=None, secret=5, texts=TEXTS):
    """What a provider has at hand when it looks into a suspect."""
    serving = Serving(teacher or TEACHER, lambda name: SECOND, seed=secret)
    return Detection(suspect, texts, serving, suspect.format, np.random.default_rng(0))
