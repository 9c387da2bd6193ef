import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from experiments.campaign.measure.roc import area, on_grid, roc, tpr_at

SCORE = st.one_of(st.integers(-3, 3).map(float), st.just(float("nan")), st.just(float("inf")))
ACCOUNTS = st.lists(st.tuples(SCORE, st.booleans(), st.integers(0, 5)), min_size=1, max_size=30)


def columns(rows):
    return (np.array([r[0] for r in rows]), np.array([r[1] for r in rows]), np.array([float(r[2]) for r in rows]))


def naive(score, positive, weight, rate):
    """The best share of attackers over any threshold that keeps false alarms within the rate, by trying all."""
    score = [-np.inf if np.isnan(s) else s for s in score]
    honest, attack = weight[~positive].sum(), weight[positive].sum()
    best = 0.0
    for threshold in set(score):
        over = np.array([s >= threshold for s in score])
        if weight[over & ~positive].sum() <= rate * honest * (1 + 1e-12):
            best = max(best, weight[over & positive].sum() / attack)
    return best


@settings(max_examples=150)
@given(ACCOUNTS, st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]), st.booleans())
def test_every_threshold_was_tried(rows, rate, weighted):
    score, positive, weight = columns(rows)
    weight = weight if weighted else np.ones(len(rows))
    curve = roc(score, positive, weight if weighted else None)
    if weight[positive].sum() == 0 or weight[~positive].sum() == 0:
        assert curve is None
        return
    assert on_grid(curve, np.array([rate]))[0] == pytest.approx(naive(score, positive, weight, rate))


@settings(max_examples=80)
@given(ACCOUNTS)
def test_area_is_the_chance_to_rank_an_attacker_higher(rows):
    score, positive, _ = columns(rows)
    curve = roc(score, positive)
    if curve is None:
        assert area(curve).value is None
        return
    ranked = np.where(np.isnan(score), -np.inf, score)
    pairs = [(a > b) + 0.5 * (a == b) for a in ranked[positive] for b in ranked[~positive]]
    assert area(curve).value == pytest.approx(np.mean(pairs))


@settings(max_examples=60)
@given(ACCOUNTS)
def test_a_weight_is_as_many_accounts(rows):
    score, positive, weight = columns(rows)
    times = weight.astype(int)
    by_weight = roc(score, positive, weight)
    by_number = roc(np.repeat(score, times), np.repeat(positive, times)) if times.sum() else None
    assert (by_weight is None) == (by_number is None)
    if by_weight is not None:
        rates = np.linspace(0, 1, 11)
        np.testing.assert_allclose(on_grid(by_weight, rates), on_grid(by_number, rates))


def test_shares_at_known_rates():
    score = np.concatenate([np.arange(1000.0), [2000, 998.5, 990.5, 5]])
    positive = np.arange(1004) >= 1000
    curve = roc(score, positive)
    assert tpr_at(curve, 1e-2).value == 0.75  # 990 and above are ten honest accounts of 1,000
    assert tpr_at(curve, 1e-3).value == 0.5  # 999 alone may be a false alarm
    blank = tpr_at(curve, 1e-4)
    assert blank.value is None
    assert "1,000 honest accounts" in blank.reason


def test_ten_thousand_honest_accounts_are_just_enough_for_the_least_rate():
    positive = np.arange(10_001) == 10_000
    assert tpr_at(roc(np.arange(10_001.0), positive), 1e-4).value == 1.0
    assert tpr_at(roc(np.arange(10_000.0), positive[1:]), 1e-4).value is None


def test_accounts_never_judged_are_never_caught():
    score = np.array([np.nan] * 100 + [np.nan, np.nan])
    curve = roc(score, np.arange(102) >= 100)
    assert tpr_at(curve, 1e-2).value == 0.0
    assert area(curve).value == 0.5


def test_the_interval_is_that_of_the_share_found():
    score = np.concatenate([np.zeros(100), np.ones(30), np.full(10, -1.0)])
    found = tpr_at(roc(score, np.arange(140) >= 100), 1e-2)
    assert found.value == 0.75
    assert 0.59 < found.low < 0.6
    assert 0.85 < found.high < 0.86  # Wilson of 30 of 40


def test_a_negative_weight_is_refused():
    with pytest.raises(ConfigError, match=r"roc\.weight"):
        roc(np.zeros(2), np.array([True, False]), np.array([1.0, -1.0]))
