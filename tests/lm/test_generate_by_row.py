"""Sampling with settings of each row's own, processors that know their rows, and responses that are scored, not drawn."""

import dataclasses

import numpy as np
import pytest
import torch

from lm.generate import generate
from lm.ragged import Ragged
from lm.types import Sampling
from tests.lm.test_generate import LM, PROMPTS, SEEDS, llama

N = len(PROMPTS)
SMALL = dataclasses.replace(LM, batch_tokens=90)  # several batches
MODELS = pytest.mark.parametrize("lm", [SMALL, llama()], ids=["mini", "llama"])


def rows_equal(whole, row, alone):
    assert whole.tokens[row].tolist() == alone.tokens[0].tolist()
    at = whole.tokens.value_index(np.array([row]))
    np.testing.assert_allclose(whole.logprob[at], alone.logprob, atol=1e-4)


@MODELS
def test_each_row_has_its_own_settings(lm):
    tau = np.where(np.arange(N) % 3 == 0, 0.0, 0.5 + np.arange(N) / N)
    most = 1 + np.arange(N) % 9
    bias = [{} if r % 2 else {5 + r: 8.0, 7: -3.0} for r in range(N)]
    whole = generate(lm, PROMPTS, Sampling(tau, most, 2, bias), SEEDS)
    assert (whole.tokens.lengths <= most).all()
    for r in range(N):
        alone = Sampling(float(tau[r]), int(most[r]), 2, bias[r])
        rows_equal(whole, r, generate(lm, PROMPTS.take(np.array([r])), alone, SEEDS[r : r + 1]))


class Pushes:
    """Row r prefers token 10 + r."""

    def __init__(self):
        self.rows = None

    def begin(self, rows):
        self.rows = torch.from_numpy(rows)

    def __call__(self, input_ids, scores):
        assert len(self.rows) == len(input_ids)
        pushed = scores.clone()
        pushed[torch.arange(len(scores)), 10 + self.rows] += 50.0
        return pushed


@MODELS
def test_a_processor_is_told_which_rows_it_sees(lm):
    drawn = generate(lm, PROMPTS, Sampling(1.0, 4), SEEDS, [Pushes()])
    assert all((row == 10 + r).all() for r, row in enumerate(drawn.tokens))


@MODELS
@pytest.mark.parametrize("processors", [(), (Pushes,)], ids=["plain", "processed"])
def test_what_is_forced_has_the_probabilities_it_was_drawn_with(lm, processors):
    sampling = Sampling(0.8, 12, 3, {9: 2.0})
    drawn = generate(lm, PROMPTS, sampling, SEEDS, [p() for p in processors])
    scored = generate(lm, PROMPTS, sampling, SEEDS + 1, [p() for p in processors], forced=drawn.tokens)
    assert scored.tokens.values.tolist() == drawn.tokens.values.tolist()
    np.testing.assert_allclose(scored.logprob, drawn.logprob, atol=1e-4)
    np.testing.assert_allclose(scored.top_logprobs, drawn.top_logprobs, atol=1e-4)


@MODELS
def test_forcing_is_teacher_forced_scoring(lm):
    rng = np.random.default_rng(3)
    said = Ragged.of([rng.integers(2, 100, 1 + r % 6) for r in range(N)])  # ends in the middle do not stop it
    scored = generate(lm, PROMPTS, Sampling(1.0, 1), SEEDS, forced=said)
    np.testing.assert_allclose(scored.logprob, lm.score(PROMPTS, said).logprob, atol=1e-4)
    with pytest.raises(ValueError, match="none empty"):
        generate(lm, PROMPTS, Sampling(), SEEDS, forced=Ragged.of([[]] * N))
