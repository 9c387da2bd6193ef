from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from defenses.admission.windows.seat import SEAT
from tests.defenses.admission import crowds

PROMPTS = crowds.sphere(40, 25)
SMALL = SEAT(window=20, draws=200, reference=1500, similar=0.01)


def fitted(detector=SMALL, benign=None, seed=3):
    benign = crowds.alike(PROMPTS, 7000) if benign is None else benign
    return detector.fit(benign, None, np.random.default_rng(seed))


@cache
def prepared():
    """What most tests share, fitted when the first one asks for it."""
    return fitted()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 1000))
def test_it_is_the_share_of_pairs_that_are_close(seed, variety):
    window = np.random.default_rng(seed).integers(variety, size=20)
    least = float(prepared()["product"]) - 1e-5
    points = PROMPTS.embedding[window].astype(float)
    close = sum(points[i] @ points[j] >= least for i in range(20) for j in range(i))
    [found] = SMALL.judge(window[None].astype(np.int32), PROMPTS, prepared(), {})
    assert found == pytest.approx(close / 190, abs=1e-12)


def test_similar_is_the_share_of_different_benign_pairs():
    e = PROMPTS.embedding.astype(float)
    product = (e @ e.T)[np.triu_indices(len(e), 1)]
    assert np.mean(product >= float(prepared()["product"])) == pytest.approx(0.01, rel=0.2)
    wider = fitted(replace(SMALL, similar=0.1))
    assert float(wider["product"]) < float(prepared()["product"])


def test_an_account_that_varies_one_prompt_is_caught_and_honest_ones_mostly_pass():
    rng = np.random.default_rng(4)
    windows = rng.integers(1000, size=(2000, 20)).astype(np.int32)
    assert np.mean(SMALL.judge(windows, PROMPTS, prepared(), {}) > float(prepared()["threshold"])) < 0.1
    near = crowds.unit(PROMPTS.embedding[:1] + 0.02 * rng.normal(size=(20, 24)))
    found = crowds.watched(SMALL, crowds.serving(crowds.of(near), prepared()), np.arange(20), np.ones(20, int))
    assert found[1] > 5


def test_where_benign_windows_hold_no_pair_one_pair_is_an_alarm():
    # 100 directions, two prompts each; accounts ask thirty prompts in a row, so none asks both of a direction
    prompts = crowds.of(np.tile(np.eye(100), (2, 1)))
    benign = crowds.traffic(prompts, np.arange(9000) % 200, np.repeat(np.arange(300), 30))
    detector = replace(SMALL, reference=1000, similar=0.003)
    prepared = fitted(detector, benign)
    assert float(prepared["product"]) == 1.0
    assert float(prepared["threshold"]) == pytest.approx(0.5 / 190)
    window = np.arange(20)
    assert crowds.watched(detector, crowds.serving(prompts, prepared), window, np.zeros(20, int)) == {0: 0.0}
    window[1] = 100
    found = crowds.watched(detector, crowds.serving(prompts, prepared), window, np.zeros(20, int))
    assert found == {0: pytest.approx(2.0)}


def test_windows_are_the_same_however_the_requests_come():
    rng = np.random.default_rng(6)
    account, prompt = np.sort(rng.integers(3, size=200)), rng.integers(30, size=200)
    whole = crowds.watched(SMALL, crowds.serving(PROMPTS, prepared()), prompt, account)
    assert whole == crowds.watched(SMALL, crowds.serving(PROMPTS, prepared()), prompt, account, cuts=(1, 50, 51, 133))
    assert set(whole) == {0, 1, 2}


@pytest.mark.parametrize("fields", [{"similar": 0.0}, {"similar": 0.0001}, {"similar": 1.0}, {"window": 2001}])
def test_fields_that_cannot_be_are_named(fields):
    with pytest.raises(ConfigError, match=f"seat.{next(iter(fields))}"):
        SEAT(**fields)


def test_too_little_traffic_is_refused():
    with pytest.raises(ConfigError, match=r"seat.benign_requests = 3000: hold \d+ windows of 20 .* needs 200"):
        fitted(benign=crowds.alike(PROMPTS, 3000))
    with pytest.raises(ConfigError, match=r"seat\.reference"):
        fitted(benign=crowds.alike(PROMPTS, 9000, rows=np.array([5])))
