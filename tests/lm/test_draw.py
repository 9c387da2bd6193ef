"""A processor that chooses the tokens itself: what is said is its, what it is scored by is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lm.types import Sampling
from tests.defenses.decoding.drawing import PROMPTS, TEACHER, drawn


class Rarest:
    """Says the least likely token that is not the end, in every row but the second of its batch."""

    def __init__(self):
        self.calls = []

    def begin(self, rows):
        self.rows = torch.from_numpy(rows)

    def __call__(self, input_ids, scores):
        return scores

    def draw(self, input_ids, scores, drawn):
        self.calls.append((input_ids.shape, scores.shape, drawn.clone()))
        rarest = scores.clone().index_fill(1, torch.tensor([2]), 0.0).argmin(1)
        return torch.where(self.rows == 1, drawn, rarest)


def test_what_it_chooses_is_said_and_scored_by_the_distribution():
    chooses, most = Rarest(), 5
    found, plain = drawn([chooses], most=most), drawn([], most=most)
    assert found.tokens[1].tolist() == plain.tokens[1].tolist(), "handed back as it was drawn"
    for r in (0, 2, 3):
        assert len(found.tokens[r]) == most
        for at in range(found.tokens.offsets[r], found.tokens.offsets[r + 1]):
            ids = found.top_ids[at].tolist()
            rarest = next(i for i in reversed(ids) if i != 2)
            assert found.tokens.values[at] == rarest
            assert found.logprob[at] == found.top_logprobs[at][ids.index(rarest)]
    assert [shape[0] for _, shape, _ in chooses.calls] == [4] * most, "the whole batch, rows that have ended too"


def test_greedy_and_scored_rows_are_not_its_to_choose():
    chooses = Rarest()
    assert drawn([chooses], 0.0).tokens.values.tolist() == drawn([], 0.0).tokens.values.tolist()
    TEACHER.generate(PROMPTS, Sampling(), np.arange(4), [chooses], forced=PROMPTS)
    assert not chooses.calls
    mixed = drawn([chooses], np.array([0.0, 1.0, 1.0, 0.0]))
    greedy = drawn([], 0.0)
    for r in (0, 3):
        assert mixed.tokens[r].tolist() == greedy.tokens[r].tolist()


def test_only_one_can():
    with pytest.raises(ValueError, match="only one can"):
        drawn([Rarest(), Rarest()])
