from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, linregress, ttest_1samp

from configs.errors import ConfigError
from defenses.provenance.dataset_inference import DatasetInference, intercept, losses
from lm.ragged import Ragged
from tests.defenses.provenance.suspects import (
    PROXY,
    TEACHER,
    TEXTS,
    TOOL,
    Bigram,
    bigram,
    detection,
    served,
    trained,
    without,
)


def test_the_intercept_is_that_of_an_ordinary_regression():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(40)
    y = 0.3 + 0.8 * x + rng.standard_normal(40)
    line = linregress(x, y)
    found = intercept(y, x[:, None])
    assert found.statistic == pytest.approx(line.intercept / line.intercept_stderr)
    plain = intercept(y, np.zeros((40, 0)))
    assert plain.p == pytest.approx(ttest_1samp(y, 0, alternative="greater").pvalue)
    assert (found.looked_at, intercept(y[:7], x[:7, None])) == (40, None)


def test_a_suspect_that_is_a_reference_says_nothing():
    x = np.random.default_rng(0).standard_normal(40)
    assert intercept(x, x[:, None])[:2] == (1.0, 0.0)
    assert intercept(np.zeros(40), x[:, None])[:2] == (1.0, 0.0)
    assert DatasetInference().detect(detection(PROXY, served())).p == 1.0


def test_losses_are_those_of_the_whole_response():
    prompts, responses = TEXTS[:2], Ragged.of([[5, 6], [7, 8, 2]])
    by_token = -PROXY.score(PROXY.encode_prompts(prompts), responses).logprob
    found = losses(PROXY, prompts, responses, TEACHER)
    np.testing.assert_allclose(found, [by_token[:2].sum(), by_token[2:].sum()], rtol=1e-5)


def test_p_is_uniform_for_students_that_learnt_from_other_responses():
    """Clean students: of nothing, and of the same teacher on the same prompts with other draws."""
    clean = [bigram(4), bigram(5, like=TEACHER, spread=0.5), trained(served(999)), trained(served(998), strength=300)]
    found = [look(suspect, served(seed), seed).p for seed in range(50) for suspect in clean]
    assert kstest(found, "uniform").pvalue > 0.01
    assert 0.02 < np.mean(np.array(found) < 0.05) < 0.09


def test_a_student_of_what_was_served_is_found_and_more_so_the_more_it_learnt():
    log = served(0)
    much, little = (look(trained(log, strength=strength), log).p for strength in (30, 3000))
    assert much < 1e-6
    assert much < little
    assert look(trained(served(1)), log).p > 0.01


def test_what_has_no_fresh_equal_is_left_out():
    log = served(0)
    responses = log.responses
    assert look(bigram(4), log).looked_at == len(TEXTS)
    cut, channel = responses.cut.copy(), responses.channel.copy()
    cut[:10] = True
    channel[responses.tokens.offsets[:10]] = TOOL
    for columns in ({"cut": cut}, {"channel": channel}):
        assert look(bigram(4), without(log, **columns)).looked_at == len(TEXTS) - 10
    assert DatasetInference(responses=20).detect(detection(bigram(4), log)).looked_at == 20
    assert look(bigram(4), without(log, cut=np.arange(len(cut)) > 6)) is None


def test_what_agrees_word_for_word_is_left_out():
    assert look(bigram(4), served(0, tokens=1)).looked_at < len(TEXTS), "one token is often the same again"


def test_a_suspect_with_other_tokens_reads_the_words():
    backwards = tuple(reversed(PROXY.vocab))
    other = Bigram(PROXY.table[::-1, ::-1], backwards)
    words = [[5, 6], [7, 8, 9]]
    mine, its = (losses(lm, TEXTS[:2], Ragged.of(words), TEACHER) for lm in (PROXY, other))
    np.testing.assert_allclose(its, mine, rtol=1e-5)


def look(suspect, log, seed=0):
    return DatasetInference().detect(detection(suspect, log, seed))


@pytest.mark.parametrize(("field", "value"), [("responses", 7), ("temperature", 0.0), ("temperature", -1.0)])
def test_refuses_impossible_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        DatasetInference(**{field: value})
