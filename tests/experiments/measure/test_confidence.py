"""Expected calibration error."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from experiments.measure.confidence import expected_calibration_error, honest_calibration
from experiments.stages.honest import answer_probability
from lm.types import Channel
from tests.defenses.release.responses import make


def test_by_hand():
    # Two bins far from their confidence, 400 answers each: |0 − .65| and |1 − .95|.
    p = np.repeat([0.65, 0.95], 400)
    assert expected_calibration_error(p, np.repeat([0, 1], 400)) == pytest.approx(0.5 * 0.65 + 0.5 * 0.05, abs=1e-4)
    # One answer: halves of s = .5 and G = .5, at z = 1: .5·(2Φ(1) − 1) − 2·.5·φ(1).
    assert expected_calibration_error([0.5], [1]) == pytest.approx(0.5 * 0.682689 - 0.241971, abs=1e-5)


def test_the_sign_from_one_half_and_the_size_from_the_other():
    """The closed form against random halves."""
    rng = np.random.default_rng(2)
    p = rng.uniform(0.7, 0.8, 400)
    gap = (rng.random(400) < p) - p
    halves = []
    for _ in range(4000):
        first = rng.permuted(np.repeat([True, False], 200))
        a, b = gap[first].sum(), gap[~first].sum()
        halves.append(np.sign(a) * b + np.sign(b) * a)
    assert expected_calibration_error(p, gap + p) == pytest.approx(np.mean(halves) / 400, abs=0.003)


@pytest.mark.parametrize("answers", [50, 200, 1000])
def test_a_calibrated_model_reads_0_with_few_answers_too(answers):
    """The plain estimate reads .036 with 200 answers like these."""
    rng = np.random.default_rng(answers)
    found = []
    for _ in range(1000):
        p = rng.choice([0.55, 0.75, 0.95, 0.99], answers)
        found.append(expected_calibration_error(p, rng.random(answers) < p))
    assert np.mean(found) == pytest.approx(0, abs=4 * np.std(found) / np.sqrt(1000))
    assert abs(np.mean(found)) < 0.005


def test_overconfidence_reads_as_it_is():
    rng = np.random.default_rng(0)
    assert expected_calibration_error(np.ones(100), np.zeros(100)) == 1.0
    p = np.full(5000, 0.9)
    assert expected_calibration_error(p, rng.random(5000) < 0.7) == pytest.approx(0.2, abs=0.02)


def test_bad_input():
    with pytest.raises(ValueError, match="must be"):
        expected_calibration_error([0.5], [1, 0])
    with pytest.raises(ValueError, match="probability"):
        expected_calibration_error([1.5], [1])
    assert expected_calibration_error([np.nan], [1]) is None


def test_refusals_and_unsold_probabilities_are_left_out():
    answered = {"status": [200] * 400, "confidence": [0.8] * 400, "strict": [True] * 400}
    others = {"status": [429, 0, 200], "confidence": [0.8, 0.8, None], "strict": [False, False, True]}
    table = pl.concat([pl.DataFrame(answered), pl.DataFrame(others)])
    assert honest_calibration(table) == honest_calibration(pl.DataFrame(answered)) == pytest.approx(0.2, abs=1e-6)
    assert honest_calibration(table[400:]) is None, "neither refused nor never sent is an answer"
    assert honest_calibration(table.with_columns(confidence=pl.lit(None, pl.Float64))) is None
    assert honest_calibration(pl.DataFrame()) is None


def test_a_response_without_an_answer_says_nothing_of_confidence():
    """The probability of no tokens is exp(0) = 1, and would count as sure and wrong."""
    responses, _ = make(n=4)
    row, answer = responses.tokens.row_of_value, responses.channel == Channel.ANSWER
    found = answer_probability(responses.keep_tokens(~answer | (row != 1)))
    assert found[1] is None
    for at in (0, 2, 3):
        assert found[at] == pytest.approx(np.exp(responses.logprob[answer & (row == at)].sum()), rel=1e-4)
