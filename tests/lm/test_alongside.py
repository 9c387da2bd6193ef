"""Models that read along say what they would say if they read each text by itself, and run as often as is counted."""

import numpy as np
import pytest
import torch

from lm.alongside import ROOM, Alongside
from lm.generate import generate
from lm.passes import counting
from lm.types import Sampling
from tests.defenses.decoding.models import model
from tests.lm.mini.tiny import tiny
from tests.lm.test_generate import LM, PROMPTS, SEEDS

LMS = {"kernels": tiny(4, scale=0.15), "transformers": model("gpt2")}
IDS = torch.tensor([[0, 0, 1, 5, 9], [1, 4, 4, 8, 20], [0, 1, 3, 3, 9]])


@torch.no_grad()
def alone(lm, row):
    text = row[(row != 0).nonzero()[0, 0] :]
    return lm.model(text[None]).logits[0, -1]


@pytest.mark.parametrize("kind", LMS)
def test_says_what_each_says_alone_while_texts_end_and_grow_beyond_the_room(kind):
    lm, rng = LMS[kind], np.random.default_rng(0)
    along, ids, lines = Alongside(lm, lm), IDS, np.arange(3)
    for step in range(ROOM + 12):
        first, second = along.logits(ids, lines)
        expected = torch.stack([alone(lm, ids[line]) for line in lines])
        torch.testing.assert_close(first, expected, atol=1e-3, rtol=1e-3)
        assert torch.equal(first, second)
        lines = np.arange(3) if step < 4 else np.array([0, 2]) if step < 8 else np.array([2])
        ids = torch.cat([ids, torch.from_numpy(rng.integers(4, 20, (3, 1)))], 1)


@pytest.mark.parametrize("kind", LMS)
def test_other_texts_and_lines_that_come_back_are_read_anew(kind):
    lm = LMS[kind]
    along = Alongside(lm)
    along.logits(IDS, np.array([1]))
    for ids, lines in ((torch.cat([IDS, IDS[:, -1:]], 1), [0, 1]), (IDS.flip(0), [0, 2]), (IDS.flip(0), [2])):
        found = along.logits(ids, np.array(lines))[0]
        expected = torch.stack([alone(lm, ids[line]) for line in lines])
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


class Reads:
    """Changes nothing; says which lines it was told of."""

    def __init__(self, *lms):
        self.along, self.told = Alongside(*lms), []

    def step(self, lines):
        self.told.append(lines)

    def __call__(self, input_ids, scores):
        self.along.logits(input_ids, self.told[-1])
        return scores


def test_only_texts_that_grow_are_read_each_token_once():
    reads, plain = Reads(LMS["kernels"], LMS["kernels"]), generate(LM, PROMPTS, Sampling(1.0, 20), SEEDS)
    with counting() as passes:
        drawn = generate(LM, PROMPTS, Sampling(1.0, 20), SEEDS, [reads])
    assert drawn.tokens.values.tolist() == plain.tokens.values.tolist()
    assert len(set(drawn.tokens.lengths.tolist())) > 1, "texts end one by one"
    assert sum(map(len, reads.told)) == passes.tokens == len(drawn.tokens.values)
    assert passes.extra == 2 * passes.tokens
    size = sum(p.numel() for p in LMS["kernels"].model.parameters())
    assert passes.extra_work == 2 * size * (len(PROMPTS.values) + passes.tokens - len(PROMPTS))
