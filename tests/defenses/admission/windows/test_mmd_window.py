import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from defenses.admission.windows.mmd_window import WIDTHS, Features, MMDWindow, rbf_mean
from defenses.admission.windows.window_detector import cut
from teacher.api.schema import FORBIDDEN
from tests.defenses.admission import crowds

PROMPTS = crowds.sphere(15, 20)
SMALL = MMDWindow(window=10, reference=400, landmarks=300, features=300, draws=200)


def fitted(detector=SMALL, benign=None, seed=3):
    benign = crowds.alike(PROMPTS, 3000) if benign is None else benign
    return detector.fit(benign, None, np.random.default_rng(seed))


def one_kernel(x, y, sigma):
    square = sum((float(a) - float(b)) ** 2 for a, b in zip(x, y, strict=True))
    return sum(math.exp(-square / (2 * (w * sigma) ** 2)) for w in WIDTHS) / len(WIDTHS)


def unbiased(x, y, sigma):
    """Gretton et al. 2012, equation 3, pair by pair."""
    n, m = len(x), len(y)
    own = sum(one_kernel(x[i], x[j], sigma) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    other = sum(one_kernel(y[i], y[j], sigma) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return own + other - 2 * sum(one_kernel(a, b, sigma) for a in x for b in y) / (n * m)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(0, 19), min_size=10, max_size=10), st.integers(0, 100))
def test_with_every_prompt_a_landmark_it_is_the_unbiased_estimate(window, seed):
    prompts = crowds.sphere(5, 4, d=6, seed=seed)
    # twenty prompts, so that a reference of 300 requests has all of them as landmarks
    benign = crowds.alike(prompts, 2400, seed=seed)
    detector = replace(SMALL, reference=300)
    prepared = fitted(detector, benign, seed)
    rows, windows = detector._split(benign.requests, np.random.default_rng(seed))
    assert set(benign.requests.prompt[rows].tolist()) == set(range(20))
    assert not set(rows) & set(windows.ravel())
    reference = benign.requests.prompt[rows]
    names, times = np.unique(reference, return_counts=True)
    sigma, e = float(prepared["sigma"]), prompts.embedding
    pairs = rbf_mean(e[names].astype(float), e[names].astype(float), sigma)
    other = (times @ pairs @ times - 300) / (300 * 299)
    cross = np.mean([[one_kernel(e[a], e[b], sigma) for b in names] @ times / 300 for a in window])
    own = np.mean([one_kernel(e[a], e[b], sigma) for i, a in enumerate(window) for j, b in enumerate(window) if i != j])
    [found] = detector.judge(np.array([window]), prompts, prepared, {})
    assert found == pytest.approx(own + other - 2 * cross, abs=2e-6)


def test_the_estimate_pair_by_pair():
    prompts = crowds.sphere(3, 5, d=4, seed=2)
    benign = crowds.alike(prompts, 2100, seed=4)
    detector = replace(SMALL, reference=60)
    prepared = fitted(detector, benign)
    rows, _ = detector._split(benign.requests, np.random.default_rng(3))
    y = prompts.embedding[benign.requests.prompt[rows]]
    window = np.array([0, 1, 2, 3, 4, 4, 4, 9, 0, 1])
    [found] = detector.judge(window[None], prompts, prepared, {})
    assert found == pytest.approx(unbiased(prompts.embedding[window], y, float(prepared["sigma"])), abs=2e-6)


def test_sigma_is_the_median_distance_and_features_reproduce_the_kernel_at_landmarks():
    prepared = fitted()
    e = PROMPTS.embedding.astype(float)
    distance = np.sqrt(np.maximum(2 - 2 * e @ e.T, 0))[np.triu_indices(len(e), 1)]
    assert float(prepared["sigma"]) == pytest.approx(np.median(distance), rel=0.01)
    features = Features.of(e[:50], 1.2, 50)
    np.testing.assert_allclose(features(e[:50]) @ features(e).T, rbf_mean(e[:50], e, 1.2), atol=2e-5)
    errors = [
        np.abs(f(e) @ f(e).T - rbf_mean(e, e, 1.2)).mean() for f in (Features.of(e[::6], 1.2, r) for r in (5, 20, 80))
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.03


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 299)), min_size=1, max_size=150),
    st.lists(st.integers(0, 150), max_size=6).map(sorted),
)
def test_running_sums_are_the_windows_however_the_requests_come(pairs, cuts):
    account, prompt = np.array(pairs).T
    prepared = PREPARED
    found = crowds.watched(SMALL, crowds.serving(PROMPTS, prepared), prompt, account, cuts=cuts)
    expected = {}
    for who in range(4):
        own = prompt[account == who]
        windows = own[: len(own) // 10 * 10].reshape(-1, 10)
        if len(windows):
            expected[who] = SMALL.judge(windows, PROMPTS, prepared, {}).max() / float(prepared["threshold"])
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)


PREPARED = fitted()


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(1, 5))
@settings(deadline=None)
def test_cut_is_what_slicing_gives(account, size):
    account = np.array(account, np.int32)
    value = np.arange(len(account), dtype=np.int32)
    found = cut(account, value, size)
    windows, left = [], []
    for who in range(5):
        own = value[account == who].tolist()
        full = len(own) // size * size
        windows += [(who, own[i : i + size]) for i in range(0, full, size)]
        left += [(who, one) for one in own[full:]]
    assert list(zip(found.owner.tolist(), found.windows.tolist(), strict=True)) == windows
    assert list(zip(found.account.tolist(), found.value.tolist(), strict=True)) == left


def test_judges_full_windows_once_and_accounts_that_come_later():
    at = crowds.serving(PROMPTS, PREPARED, accounts=2)
    assert crowds.watched(SMALL, at, np.arange(9), np.ones(9, int)) == {}
    assert set(crowds.watched(SMALL, at, [9], [1])) == {1}
    assert crowds.watched(SMALL, at, np.arange(9), np.ones(9, int)) == {}
    assert crowds.watched(SMALL, at, [], []) == {}
    at.accounts.open(500)
    assert set(crowds.watched(SMALL, at, [1] * 11, [1] + [501] * 10)) == {1, 501}


def test_other_prompts_are_encoded_anew():
    at = crowds.serving(PROMPTS, PREPARED)
    first = crowds.watched(SMALL, at, np.arange(10), np.zeros(10, int))
    at.prompts = replace(PROMPTS, embedding=PROMPTS.embedding[::-1].copy())
    again = crowds.watched(SMALL, at, 299 - np.arange(10), np.zeros(10, int))
    assert again == pytest.approx(first)


def test_the_same_generator_gives_the_same_preparation():
    first, again = fitted(seed=5), fitted(seed=5)
    assert all(bool((first[name] == again[name]).all()) for name in first)
    assert float(fitted(seed=6)["threshold"]) != float(first["threshold"])


@pytest.mark.parametrize("kind", ["across", "within"])
def test_too_little_traffic_says_how_much_is_there_and_how_much_is_needed(kind):
    detector = replace(SMALL, benign_windows=kind)
    text = r"mmd_window.benign_requests = 1000: hold (60|[345]\d) windows of 10 requests .* needs 200"
    with pytest.raises(ConfigError, match=text):
        fitted(detector, crowds.alike(PROMPTS, 1000))
    with pytest.raises(ConfigError, match=r"mmd_window.benign_requests = 300: are not more than the 400"):
        fitted(detector, crowds.alike(PROMPTS, 300))


def test_prompts_that_are_all_alike_have_no_width():
    same = replace(PROMPTS, embedding=np.tile(PROMPTS.embedding[:1], (300, 1)))
    with pytest.raises(ConfigError, match="look alike"):
        fitted(benign=crowds.alike(same, 3000))
    with pytest.raises(ConfigError, match="different prompts"):
        fitted(benign=crowds.alike(PROMPTS, 3000, rows=np.array([7])))


def test_serving_without_preparation_is_refused():
    with pytest.raises(ConfigError, match="has not been fitted"):
        crowds.watched(SMALL, crowds.serving(PROMPTS, {}), [1], [1])


@pytest.mark.parametrize(
    "fields",
    [
        {"window": 1},
        {"quantile": 1.0},
        {"quantile": 0.0},
        {"draws": 199},
        {"quantile": 0.999},
        {"benign_windows": "both"},
        {"reference": 1},
        {"landmarks": 1},
        {"features": 1},
        {"landmarks": 10, "features": 11},
        {"every_hours": 0.0},
    ],
)
def test_fields_that_cannot_be_are_named(fields):
    with pytest.raises(ConfigError, match=f"{next(iter(fields))}|draws|features"):
        MMDWindow(**fields)


def test_honest_accounts_that_differ_are_suspected_across_and_not_within():
    prompts = crowds.sphere(60, 20, seed=5)
    benign = crowds.traffic(prompts, *crowds.each_its_own(60, 20, 300, 60, seed=6))
    prompt, account = crowds.each_its_own(60, 20, 300, 50, seed=7)
    rates = {}
    for kind in ("across", "within"):
        detector = MMDWindow(window=50, benign_windows=kind, reference=2000, draws=300, landmarks=200)
        prepared = fitted(detector, benign)
        found = crowds.watched(detector, crowds.serving(prompts, prepared, 300), prompt, account)
        assert len(found) == 300
        rates[kind] = np.mean(np.array(list(found.values())) > 1)
    assert rates["across"] > 0.9
    assert rates["within"] < 0.12


def test_shape_of_the_published_table():
    """C10: benign 120 clusters, attack 2 clusters of its own; published n=100: .01 .05 .76 .99, n=1500: .74 .94 1 1."""
    prompts = crowds.sphere(122, 25, seed=8)
    honest, attack = np.arange(3000), np.arange(3000, 3050)
    benign = crowds.alike(prompts, 400_000, rows=honest, seed=9)
    rng = np.random.default_rng(10)
    rate = {}
    for n in (100, 500, 1500):
        detector = MMDWindow(window=n, draws=200)
        prepared = fitted(detector, benign)
        for share in (0.0, 0.05, 0.1, 0.25, 0.5):
            windows = rng.choice(honest, (120, n))
            bad = round(share * n)
            windows[:, :bad] = rng.choice(attack, (120, bad))
            score = detector.judge(windows, prompts, prepared, {}) / float(prepared["threshold"])
            rate[n, share] = float(np.mean(score > 1))
    for n in (100, 500, 1500):
        assert 0.0 <= rate[n, 0.0] <= 0.12
        by_share = [rate[n, share] for share in (0.05, 0.1, 0.25, 0.5)]
        assert by_share == sorted(by_share)
        assert rate[n, 0.5] == 1.0
    for share in (0.05, 0.1, 0.25):
        by_window = [rate[n, share] for n in (100, 500, 1500)]
        assert by_window == sorted(by_window)
    assert rate[100, 0.05] < 0.25
    assert rate[1500, 0.05] > 0.7
    assert rate[1500, 0.1] > 0.9


def test_as_a_defense_it_shuts_out_whoever_is_over_the_threshold():
    benign = crowds.alike(PROMPTS, 3000, rows=np.arange(200))
    detector = replace(SMALL, every_hours=0.001)
    prepared = fitted(detector, benign)
    rng = np.random.default_rng(11)
    at = crowds.serving(PROMPTS, prepared, accounts=2)
    refused = []
    for step in range(60):
        prompt = [rng.integers(200), 200 + rng.integers(10)]
        batch = crowds.asked(prompt, [0, 1], [60.0 * step, 60.0 * step + 1])
        refused.append(detector.admit(batch, at).status == FORBIDDEN)
    refused = np.array(refused)
    assert not refused[:10].any()
    assert refused[11:, 1].all()
    assert refused[:, 0].mean() < 0.9
