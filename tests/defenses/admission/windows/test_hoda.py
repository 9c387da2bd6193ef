from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from defenses.admission.windows.hoda import HODA
from tests.defenses.admission import crowds

PROMPTS = crowds.sphere(2, 5)
SMALL = HODA(window=25, draws=200, reference=2000)


def lengths(count, mean=5.0, seed=1):
    return np.random.default_rng(seed).lognormal(mean, 0.8, count).astype(np.int32) + 1


def honest(count=8000, output=None):
    output = lengths(count) if output is None else output
    return crowds.traffic(PROMPTS, np.zeros(count, int), np.arange(count) * 50 // count, output)


def fitted(detector=SMALL, benign=None, seed=3):
    return detector.fit(honest() if benign is None else benign, None, np.random.default_rng(seed))


@cache
def prepared():
    """What most tests share, fitted when the first one asks for it."""
    return fitted()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 5000), min_size=25, max_size=25))
def test_it_is_the_pearson_distance_to_the_benign_histogram(tokens):
    edges = np.concatenate([[-np.inf], np.expm1(prepared()["edges"].numpy()), [np.inf]])
    histogram = np.histogram(tokens, edges)[0]
    share = prepared()["share"].numpy()
    expected = 1.0 if histogram.std() == 0 else 1 - np.corrcoef(histogram, share)[0, 1]
    requests = crowds.asked(np.zeros(25, int))
    window = SMALL.values(requests, np.array(tokens, np.int32), prepared())
    [found] = SMALL.judge(window[None], PROMPTS, prepared(), {})
    assert found == pytest.approx(expected, abs=1e-9)


def test_levels_span_the_benign_lengths_on_a_logarithmic_scale():
    edges, share = prepared()["edges"].numpy(), prepared()["share"].numpy()
    np.testing.assert_allclose(np.diff(edges), np.diff(edges)[0])
    low, high = np.quantile(np.log1p(lengths(8000)), [0.005, 0.995])
    assert edges[0] - np.diff(edges)[0] == pytest.approx(low, abs=0.3)
    assert edges[-1] + np.diff(edges)[0] == pytest.approx(high, abs=0.3)
    assert share.sum() == pytest.approx(1.0)
    assert share.argmax() in (4, 5)


def test_a_flat_window_is_uncorrelated():
    [found] = replace(SMALL, window=10).judge(np.arange(10, dtype=np.int32)[None], PROMPTS, prepared(), {})
    assert found == 1.0


def test_long_answers_are_caught_and_honest_lengths_mostly_pass():
    n = 25 * 400
    account = np.repeat(np.arange(400), 25)
    output = np.where(account < 200, lengths(n, seed=8), lengths(n, mean=7.5, seed=9))
    at = crowds.serving(PROMPTS, prepared(), accounts=400)
    found = crowds.watched(SMALL, at, np.zeros(n, int), account, output)
    alarm = np.array([found[a] > 1 for a in range(400)])
    assert alarm[:200].mean() < 0.12
    assert alarm[200:].all()


def test_windows_are_the_same_however_the_requests_come():
    rng = np.random.default_rng(6)
    account, output = np.sort(rng.integers(3, size=200)), lengths(200, seed=7)
    zeros = np.zeros(200, int)
    whole = crowds.watched(SMALL, crowds.serving(PROMPTS, prepared()), zeros, account, output)
    apart = crowds.watched(SMALL, crowds.serving(PROMPTS, prepared()), zeros, account, output, cuts=(1, 50, 51, 133))
    assert whole == apart
    assert set(whole) == {0, 1, 2}


@pytest.mark.parametrize("most", [64, np.full(50, 64, np.int32)])
def test_lengths_that_are_only_reserved_say_nothing(most):
    at = crowds.serving(PROMPTS, prepared(), max_tokens=most)
    zeros = np.zeros(50, int)
    assert crowds.watched(SMALL, at, zeros, zeros, np.full(50, 64)) == {}
    known = np.full(50, 64)
    known[3] = 10
    assert set(crowds.watched(SMALL, at, zeros, zeros, known)) == {0}


def test_fields_and_traffic_that_cannot_be_are_named():
    for levels in (2, 1001):
        with pytest.raises(ConfigError, match=r"hoda\.levels"):
            HODA(levels=levels)
    with pytest.raises(ConfigError, match="all alike"):
        fitted(benign=honest(output=np.full(8000, 64, np.int32)))
    with pytest.raises(ConfigError, match=r"hoda.benign_requests = 3000: hold \d+ windows of 25 .* needs 200"):
        fitted(benign=honest(3000))
