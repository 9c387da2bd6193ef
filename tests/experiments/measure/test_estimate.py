"""One t distribution behind interval, p-value and verdict; ratios whose denominator is noise; corrected verdicts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp

from experiments.measure.estimate import LEVEL, Estimate, critical, estimates, in_noise, share_interval
from experiments.measure.quantity import GROUPS, NOISE, PSEUDO, Quantity, plain, quotient
from experiments.measure.verdict import holm, read, verdicts


def t(value: float, error: float, freedom: float = 8.0) -> Estimate:
    return Estimate(value, error=error, freedom=freedom, seeds=3).at(LEVEL)


reals = st.floats(-1, 1).filter(lambda x: abs(x) > 1e-6)
losses = st.lists(st.tuples(reals, st.floats(1e-3, 1), st.floats(1, 300)), min_size=1, max_size=12)


def test_alone_and_without_items_it_is_the_t_test():
    y = [0.12, 0.31, 0.18, 0.22]
    found = estimates([plain(range(4), y)])[0]
    theirs = ttest_1samp(y, 0)
    low, high = theirs.confidence_interval(0.95)
    assert found.value == pytest.approx(np.mean(y))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.004)
    assert found.p == pytest.approx(theirs.pvalue, rel=0.1)


@given(reals, st.floats(1e-3, 1), st.floats(1, 300))
def test_interval_and_p_value_never_disagree(value, error, freedom):
    found = t(value, error, freedom)
    assert found.p is not None
    assert found.resolved == (found.p < 0.05)


@given(losses)
def test_corrected_interval_p_value_and_reading_never_disagree(given_losses):
    found = verdicts([t(*loss) for loss in given_losses])
    for (value, error, freedom), verdict in zip(given_losses, found, strict=True):
        assert verdict.p is not None
        assert verdict.estimate.resolved == (verdict.p < 0.05) == (verdict.reading in ("lost", "gained"))
        assert verdict.reading != ("gained" if value > 0 else "lost")
        alone = t(value, error, freedom)
        assert verdict.estimate.low <= alone.low
        assert verdict.estimate.high >= alone.high


def test_reading():
    assert read(t(0.9, 0.1)) == "lost"
    assert read(t(-0.2, 0.01)) == "gained"
    assert read(t(0.01, 0.01)) == "unchanged"
    assert read(t(0.02, 0.001)) == "lost", "a small loss that is there is one"
    assert read(t(0.02, 0.1)) == "undecided"
    assert read(Estimate(None)) == "undecided"
    assert read(Estimate(0.9, 0.8, 1.0, error=0.05, seeds=1)) == "undecided", "items alone say nothing of seeds"


def test_verdicts_of_many_are_those_of_holm():
    p = verdicts([t(0.5, 0.1), t(0.25, 0.1), t(0.1, 0.1), Estimate(None)])
    raw = [t(0.5, 0.1).p, t(0.25, 0.1).p, t(0.1, 0.1).p]
    assert [v.p for v in p[:3]] == pytest.approx(holm(raw))
    assert p[3] == (Estimate(None), None, "undecided")
    assert [v.reading for v in p[:3]] == ["lost", "undecided", "undecided"]
    assert verdicts([t(0.25, 0.1)])[0].reading == "lost"


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]), ([0.5, np.nan, 0.6], [1.0, np.nan, 1.0]), ([], [])],
)
def test_holm_by_hand(raw, adjusted):
    assert holm(raw) == pytest.approx(np.array(adjusted), nan_ok=True)


def test_one_seed_has_an_interval_of_its_items_and_no_p_value():
    one = Quantity((0,), np.array([0.9]), np.full((1, GROUPS), 0.001), np.zeros(1), bounded=True)
    (found,) = estimates([one])
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.001 * np.sqrt(GROUPS), rel=1e-3)
    assert found.p is None
    assert not found.about_seeds
    assert estimates([plain((0,), [0.5])])[0][:4] == (0.5, None, None, "")


def test_shares_end_at_0_and_1_and_differences_do_not():
    share, difference = (estimates([plain((0, 1), [0.9, 1.0], bounded=b)])[0] for b in (True, False))
    assert 0 < share.low < difference.low < 0.95 < share.high < 1 < difference.high
    assert share.p is None
    assert share.at(0.99) == share
    assert estimates([plain((0, 1), [1.0, 1.0], bounded=True)])[0][:3] == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(("right", "n"), [(0, 40), (1, 40), (150, 300), (299, 300), (300, 300)])
def test_the_interval_of_a_share_is_wilsons_where_the_error_is_binomial(right, n):
    p = right / n
    asked = Quantity((0,), np.array([p]), np.zeros((1, GROUPS)), np.zeros(1), bounded=True)
    half = critical(None) * np.sqrt(p * (1 - p) / n)
    if 0 < right < n:
        expected = binomtest(right, n).proportion_ci(method="wilson")
        assert share_interval(asked, half) == pytest.approx(tuple(expected), abs=1e-6)
    with_pseudo = share_interval(
        asked._replace(extra=np.full(1, PSEUDO / n**2)), np.hypot(half, 1.96 * np.sqrt(PSEUDO) / n)
    )
    assert 0 <= with_pseudo[0] <= p <= with_pseudo[1] <= 1
    assert with_pseudo[1] - with_pseudo[0] > 1 / n


@given(st.floats(0, 1), st.floats(0, 3), st.floats(1e-6, 0.01))
def test_the_interval_of_a_share_holds_it_and_grows_with_the_error(p, half, extra):
    q = Quantity((0, 1), np.full(2, p), np.zeros((2, GROUPS)), np.full(2, extra), bounded=True)
    (low, high), (lower, higher) = share_interval(q, half), share_interval(q, 1.5 * half)
    assert 0 <= lower <= low + 1e-9
    assert low - 1e-9 <= p <= high + 1e-9
    assert high - 1e-9 <= higher <= 1


def test_a_denominator_in_its_noise_blanks_the_ratio():
    clear, noisy = plain((0, 1, 2), [0.9, 0.91, 0.92]), plain((0, 1, 2), [0.1, -0.1, 0.05])
    assert estimates([quotient(clear, clear)])[0].value == pytest.approx(1.0)
    assert estimates([quotient(clear, noisy)])[0] == Estimate(None, reason=NOISE)
    assert in_noise(t(0.3, 0.1))
    assert not in_noise(t(0.5, 0.1))
    assert in_noise(t(0.0, 0.0))
    assert not in_noise(Estimate(0.3))


def test_more_seeds_of_the_same_spread_narrow_the_interval():
    y = [0.4, 0.6]
    widths = [estimates([plain(range(2 * k), y * k)])[0] for k in (1, 2, 5)]
    assert [w.high - w.low for w in widths] == sorted((w.high - w.low for w in widths), reverse=True)


def test_critical_values():
    assert critical(None) == pytest.approx(1.95996, abs=1e-4)
    assert critical(1) == pytest.approx(12.706, abs=1e-3)
