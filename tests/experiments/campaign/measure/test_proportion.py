import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from configs.errors import ConfigError
from experiments.campaign.measure.proportion import ratio, weighted_share, wilson
from experiments.measure.estimate import Estimate


@given(st.integers(0, 400), st.integers(0, 400))
def test_wilson_is_scipys(hits, misses):
    if hits + misses == 0:
        assert wilson(0, 0).value is None
        return
    own = wilson(hits, hits + misses)
    low, high = binomtest(hits, hits + misses).proportion_ci(0.95, "wilson")
    assert (own.low, own.high) == pytest.approx((low, high), abs=1e-12)
    assert own.low <= own.value <= own.high


def test_no_alarm_among_many_leaves_an_upper_limit_that_falls_with_their_number():
    few, many = wilson(0, 100), wilson(0, 10_000)
    assert few.low == many.low == 0
    assert few.high > many.high > 0


def test_more_hits_than_accounts_are_refused():
    with pytest.raises(ConfigError, match=r"proportion\.count = 3"):
        wilson(3, 2)


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.floats(0.1, 50))
def test_equal_weights_count_accounts(hit, weight):
    own = weighted_share(np.array(hit), np.full(len(hit), weight))
    assert own[:3] == pytest.approx(wilson(sum(hit), len(hit))[:3], abs=1e-9)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1000)), min_size=1, max_size=40))
def test_a_share_of_weight_lies_in_its_interval_which_is_no_narrower_than_of_equal_weights(rows):
    hit, weight = np.array([r[0] for r in rows]), np.array([float(r[1]) for r in rows])
    own = weighted_share(hit, weight)
    if weight.sum() == 0:
        assert own.value is None
        assert own.reason
        return
    assert own.value == pytest.approx(weight[hit].sum() / weight.sum())
    assert own.low <= own.value + 1e-12
    assert own.value <= own.high + 1e-12
    equal = wilson(own.value * len(rows), len(rows))
    assert own.high - own.low >= equal.high - equal.low - 1e-9


def test_nothing_to_divide_by_is_blank_and_says_why():
    assert ratio(3.0, 0.0, "nothing usable") == Estimate(None, reason="nothing usable")
    assert ratio(3.0, 4.0, "").value == 0.75
