from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from configs.errors import ConfigError
from defenses.admission.windows.prada import PRADA, royston
from tests.defenses.admission import crowds

PROMPTS = crowds.sphere(40, 25)
SMALL = PRADA(window=30, cells=4, draws=200, reference=1000)


def fitted(detector=SMALL, benign=None, seed=3):
    benign = crowds.alike(PROMPTS, 9000) if benign is None else benign
    return detector.fit(benign, None, np.random.default_rng(seed))


@cache
def prepared():
    """What most tests share, fitted when the first one asks for it."""
    return fitted()


def by_the_book(points, classes):
    """Algorithm 3 of the paper, query by query, with SciPy's test."""
    grown, own, limit, found = {}, {}, {}, []
    for x, c in zip(points.astype(float), classes, strict=True):
        if c not in grown:
            grown[c], own[c], limit[c] = [x], [0.0], 0.0
            continue
        nearest = min(float(np.linalg.norm(x - y)) for y in grown[c])
        nearest = nearest if nearest > 1e-3 else 0.0
        found.append(nearest)
        if nearest > limit[c]:
            grown[c].append(x)
            own[c].append(nearest)
            limit[c] = max(limit[c], np.mean(own[c]) - np.std(own[c]))
    found = np.array(found)
    kept = found[np.abs(found - found.mean()) <= 3 * found.std() + 1e-12]
    return 1.0 if np.ptp(kept) < 1e-9 else stats.shapiro(kept).statistic


@pytest.mark.parametrize("n", [6, 7, 10, 11, 12, 50, 200, 2000])
def test_weights_are_those_of_the_shapiro_wilk_test(n):
    weights = royston(max(n, 12))[n, :n]
    for seed in range(3):
        values = np.sort(np.random.default_rng(seed).gamma(2.0, size=n))
        centred = values - values.mean()
        assert (weights @ values) ** 2 / (centred @ centred) == pytest.approx(stats.shapiro(values).statistic, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 1000))
def test_the_statistic_is_the_papers(seed, variety):
    window = np.random.default_rng(seed).integers(variety, size=30)
    points = PROMPTS.embedding[window]
    classes = np.argmax(points @ prepared()["centres"].numpy().T, axis=1)
    [found] = SMALL.judge(window[None].astype(np.int32), PROMPTS, prepared(), {})
    assert 1 - found == pytest.approx(by_the_book(points, classes), abs=2e-4)


def test_one_cell_is_one_class():
    detector = replace(SMALL, cells=1)
    prepared = fitted(detector)
    windows = np.random.default_rng(0).integers(1000, size=(40, 30)).astype(np.int32)
    expected = [1 - by_the_book(PROMPTS.embedding[window], np.zeros(30, int)) for window in windows]
    np.testing.assert_allclose(detector.judge(windows, PROMPTS, prepared, {}), expected, atol=2e-4)


def test_cells_are_unit_means_of_their_prompts():
    clusters = crowds.sphere(4, 30, spread=0.2, seed=4)
    centres = fitted(benign=crowds.alike(clusters, 9000), seed=1)["centres"].numpy()
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 1.0)
    cell = np.argmax(clusters.embedding @ centres.T, axis=1)
    for c in range(4):
        mean = clusters.embedding[cell == c].sum(0)
        np.testing.assert_allclose(centres[c], mean / np.linalg.norm(mean), atol=1e-3)


def test_the_threshold_lets_the_quantile_of_benign_windows_pass():
    rng = np.random.default_rng(5)
    windows = rng.integers(1000, size=(2000, 30)).astype(np.int32)
    rate = np.mean(SMALL.judge(windows, PROMPTS, prepared(), {}) > float(prepared()["threshold"]))
    assert 0.01 < rate < 0.12


def synthetic_queries(seed, n=30):
    """Half seeds, then small steps from them, as Papernot's augmentation makes: two kinds of distances."""
    rng = np.random.default_rng(seed)
    seeds = crowds.unit(rng.normal(size=(n // 2, 24)))
    steps = crowds.unit(seeds + 0.02 / np.sqrt(24) * rng.normal(size=seeds.shape))
    return crowds.of(np.concatenate([seeds, steps]))


def test_queries_made_from_each_other_are_caught():
    caught = []
    for seed in range(40):
        found = SMALL.judge(np.arange(30, dtype=np.int32)[None], synthetic_queries(seed), prepared(), {})
        caught.append(found[0] > float(prepared()["threshold"]))
    assert np.mean(caught) > 0.8


def test_watches_windows_whatever_the_batches_and_says_nothing_of_equal_distances():
    rng = np.random.default_rng(6)
    account, prompt = np.sort(rng.integers(3, size=200)), rng.integers(1000, size=200)
    whole = crowds.watched(SMALL, crowds.serving(PROMPTS, prepared()), prompt, account)
    apart = crowds.watched(SMALL, crowds.serving(PROMPTS, prepared()), prompt, account, cuts=(10, 11, 90))
    assert whole == apart
    assert set(whole) == {0, 1, 2}
    same = crowds.watched(SMALL, crowds.serving(PROMPTS, prepared()), np.full(30, 7), np.zeros(30, int))
    assert same == {0: 0.0}
    assert crowds.watched(SMALL, crowds.serving(PROMPTS, prepared()), prompt[:29], np.zeros(29, int)) == {}


@pytest.mark.parametrize("fields", [{"cells": 0}, {"window": 19}, {"window": 2001}, {"cells": 95}])
def test_fields_that_cannot_be_are_named(fields):
    with pytest.raises(ConfigError, match=r"prada\.(cells|window)"):
        PRADA(**fields)


def test_too_little_traffic_is_refused():
    with pytest.raises(ConfigError, match=r"prada.benign_requests = 4000: hold \d+ windows of 30 .* needs 200"):
        fitted(benign=crowds.alike(PROMPTS, 4000))
