"""Rejection sampling: what is learnt, from which model, within which budget."""

import numpy as np
import torch

from attacks.compute import Compute
from attacks.refine.rft import RFT
from lm.examples import Examples
from tests.attacks.refine_world import refine_context
from tests.lm.mini.tiny import tiny

torch.set_num_threads(1)
LM, NEXT = tiny(3), [tiny(4), tiny(5)]


class Fits:
    """Notes what is learnt; gives one other model after another."""

    def __init__(self):
        self.rows, self.starts = [], []

    def __call__(self, rows: Examples, start=None):
        self.context.compute.book(steps=10)
        self.rows.append(rows)
        self.starts.append(start)
        return NEXT[len(self.rows) - 1]


def run(part, check, compute=None):
    fits = Fits()
    fits.context = refine_context(check, compute, LM, fit=fits)
    return part.run(fits.context), fits


def even(item, text):
    return len(text) % 2 == 0


def test_right_answers_are_learnt_once_each_round_from_the_model_of_the_round_before():
    found, fits = run(RFT(rounds=2, samples=5), even)
    assert fits.starts == [LM, NEXT[0]]
    assert found.model is NEXT[1]
    assert len(found.curve) == 2
    for rows, lm in zip(fits.rows, fits.starts, strict=True):
        texts = lm.decode(rows.completions)
        assert all(map(even, rows.item, texts))
        assert len({(i, c.tobytes()) for i, c in zip(rows.item, rows.completions, strict=True)}) == len(rows)
        np.testing.assert_array_equal(rows.prompts.values, refine_context(even).prompts.take(rows.item).values)


def test_without_a_right_answer_nothing_is_learnt():
    found, fits = run(RFT(), lambda item, text: False)
    assert found.model is LM
    assert not fits.rows
    assert found.curve.tolist() == [0, 0]


def test_harvested_rows_are_learnt_along_or_not():
    _, fits = run(RFT(rounds=1), even)
    again = Fits()
    again.context = refine_context(even, None, LM, fit=again, data=fits.rows[0])
    RFT(rounds=1).run(again.context)
    assert len(again.rows[0]) == 2 * len(fits.rows[0])
    alone = Fits()
    alone.context = refine_context(even, None, LM, fit=alone, data=fits.rows[0])
    RFT(rounds=1, keep_data=False).run(alone.context)
    assert len(alone.rows[0]) == len(fits.rows[0])


def test_the_budget_of_steps_and_samples_ends_it():
    found, fits = run(RFT(rounds=2), even, Compute(steps=15))
    assert found.model is NEXT[0]
    assert fits.context.compute.steps == 10
    found, fits = run(RFT(rounds=2, samples=4), even, Compute(samples=30, steps=100))
    assert fits.context.compute.samples == 28
    assert len(fits.rows) == 1
