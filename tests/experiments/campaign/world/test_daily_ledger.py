from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.campaign.world.daily_ledger import DailyLedger
from teacher.api.clock import DAY
from teacher.api.ledger import Ledger
from teacher.api.schema import Requests, Verdicts

ACCOUNTS = 7


def batch(rng, size, start, stop):
    time = np.sort(rng.uniform(start, stop, size))
    account = rng.integers(0, ACCOUNTS, size).astype(np.int32)
    tokens = rng.integers(1, 5000, size).astype(np.int32)
    requests = Requests(time, account, np.zeros(size, np.int64), tokens, np.zeros(size, np.int64))
    verdicts = Verdicts.admitted(size)
    verdicts.status[:] = rng.choice([200, 200, 429, 403, 401, 400], size)
    return requests, verdicts


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    length=st.sampled_from([1 / 24, 0.5, 1.0, 2.6]),
    start=st.integers(0, 40),
    one_number=st.booleans(),
    window=st.tuples(st.integers(0, 45), st.integers(0, 31)),
)
def test_it_says_per_day_what_a_ledger_says(seed, sizes, length, start, one_number, window):
    rng = np.random.default_rng(seed)
    daily, full = DailyLedger(), Ledger()
    for number, size in enumerate(sizes):
        begin = (start + number * length) * DAY
        requests, verdicts = batch(rng, size, begin, begin + length * DAY)
        output = 64 if one_number else rng.integers(1, 3000, size).astype(np.int32)
        dollars = (requests.input_tokens * 3.0 + output * 15.0) / 1e6
        refused_by = np.full(size, "", object)
        for ledger in (daily, full):
            ledger.append(requests, verdicts, refused_by, output, dollars)
    begin, stop = window[0] * DAY, (window[0] + window[1]) * DAY
    for name in ("requests_between", "tokens_between"):
        a, b = (getattr(ledger, name)(begin, stop, ACCOUNTS + 2) for ledger in (daily, full))
        assert a.dtype == b.dtype == np.int64
        np.testing.assert_array_equal(a, b, name)
    money = [ledger.dollars_between(begin, stop, ACCOUNTS + 2) for ledger in (daily, full)]
    np.testing.assert_allclose(*money, rtol=1e-12, atol=1e-15)


def test_days_further_back_than_a_month_are_forgotten_and_no_others():
    ledger = DailyLedger()
    for day in range(50):
        time = np.array([day * DAY + 10.0])
        one = np.ones(1, np.int32)
        requests = Requests(time, 0 * one, np.zeros(1, np.int64), one, np.zeros(1, np.int64))
        ledger.append(requests, Verdicts.admitted(1), np.full(1, "", object), one, np.ones(1))
        month = day // 30 * 30
        assert ledger.dollars_between(month * DAY, (month + 30) * DAY, 1)[0] == day - month + 1
    assert ledger.requests_between(0.0, 50 * DAY, 1)[0] == DailyLedger.KEPT + 1


def test_parts_of_days_are_not_known():
    with pytest.raises(AssertionError, match="whole days"):
        DailyLedger().dollars_between(0.0, 100.0, 1)


def test_an_empty_ledger_says_nothing():
    assert DailyLedger().tokens_between(0.0, DAY, 3).tolist() == [0, 0, 0]
