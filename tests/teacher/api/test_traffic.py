"""Request streams against closed forms, an independent account of the daily profile, and cuts of time that must not matter.

Seeds are fixed: a bound of z standard errors is chosen so that a right stream passes with all but every seed.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from teacher.api import traffic
from teacher.api.clock import DAY
from teacher.api.traffic import GAMMA, PERIODIC, WEIBULL, PromptLists, Senders, Sent, Streams
from tests.teacher.api.sending import PEOPLE, PROFILES, crowd, lists, senders, streams


def sorted_by_account(parts):
    """What several epochs gave, by account, then in the order in which it came."""
    sent = Sent.concat(parts)
    order = np.argsort(sent.account, kind="stable")
    return Sent(*(column[order] for column in sent))


def assert_same(one, two):
    for name, a, b in zip(Sent._fields, one, two, strict=True):
        np.testing.assert_array_equal(a, b, name)


ENDS = {"hours": np.arange(1, 73) * 3600.0, "days": np.arange(1, 4) * DAY, "uneven": np.array([1.0, 5e4, 5e4, 1.9e5])}


@pytest.mark.parametrize("cut", ENDS)
@pytest.mark.parametrize("threads", [1, 2])
def test_however_time_is_cut_and_whoever_draws_the_requests_are_the_same(cut, threads, monkeypatch):
    whole = streams(crowd(), lists(10, 5, 3)).until(3 * DAY)
    assert len(whole.time) > 3000
    monkeypatch.setattr(traffic, "CHUNK", 200)
    one = streams(crowd(), lists(10, 5, 3), threads)
    assert_same(sorted_by_account([one.until(end) for end in [*ENDS[cut], 3 * DAY]]), whole)


@pytest.mark.parametrize("before", [0, 1, 17])
def test_other_accounts_change_nothing(before):
    alone = streams(crowd(), lists(10, 5, 3)).until(2 * DAY)
    crowded = Streams(PROFILES, lists(10, 5, 3))
    if before:
        crowded.add(crowd(before, seed=2))
    rows = crowded.add(crowd())
    crowded.add(crowd(5, seed=3))
    sent = crowded.until(2 * DAY)
    own = np.isin(sent.account, rows)
    assert_same(Sent(*(column[own] for column in sent))._replace(account=sent.account[own] - rows[0]), alone)


def test_senders_that_are_added_are_copied():
    given = crowd()
    before = {f.name: getattr(given, f.name).copy() for f in fields(Senders)}
    made = streams(given, lists(10, 5, 3))
    rows = np.arange(len(given))
    made.set_rate(rows, given.rate * 3, 10.0)
    made.stop(rows, 20.0)
    for name, column in before.items():
        np.testing.assert_array_equal(getattr(given, name), column)


def test_requests_of_an_account_are_in_order_of_time_and_all_before_the_end():
    made = streams(senders(60, kind=np.arange(60) % 2, shape=0.05, rate=20_000.0, profile=np.arange(60) % 3))
    sent = made.until(DAY)
    assert (np.diff(sent.account) >= 0).all()
    same = sent.account[1:] == sent.account[:-1]
    assert (np.diff(sent.time)[same] >= 0).all()
    assert sent.time.max() < DAY


@pytest.mark.parametrize("room", ["tiny chunks", "a burst"])
def test_no_request_is_lost_or_doubled_where_there_is_too_little_room(room, monkeypatch):
    one = {"kind": PERIODIC, "beat": (DAY, 3600.0, 30_000.0, 0.1, 0.0), "rate": 0.01}  # expected far too low
    few = {"kind": np.arange(30) % 3, "shape": 0.3, "rate": 300.0, "beat": (3600.0, 0.0, 300.0, 1.0, 60.0)}
    new = senders(30, **few) if room == "tiny chunks" else senders(3, **one)
    found = []
    for chunk in (10**9, 200_000, 7):
        monkeypatch.setattr(traffic, "CHUNK", chunk)
        found.append(streams(new).until(2 * DAY))
    assert len(found[0].time) > (20_000 if room == "tiny chunks" else 100_000)
    for other in found[1:]:
        assert_same(found[0], other)


def gaps(kind, shape, profile, rate=2000.0, days=30.0):
    sent = streams(senders(1, kind=kind, shape=shape, profile=profile, rate=rate)).until(days * DAY)
    return sent.time


@pytest.mark.parametrize("shape", [0.2, 0.37, 0.82, 1.0, 1.2, 3.0])
@pytest.mark.parametrize("kind", [GAMMA, WEIBULL])
def test_gaps_are_distributed_as_stated(kind, shape):
    found = np.diff(gaps(kind, shape, 0)) / DAY * 2000.0
    assert len(found) > 40_000
    law = stats.gamma(shape, scale=1 / shape)
    if kind == WEIBULL:
        law = stats.weibull_min(shape)
        law = stats.weibull_min(shape, scale=1 / law.mean())
    assert law.mean() == pytest.approx(1)
    found = found[found > 1e-8]  # below, differences of seconds within a month are rounding
    lost = law.cdf(1e-8)
    assert stats.kstest((law.cdf(found) - lost) / (1 - lost), "uniform").pvalue > 1e-3
    rank = stats.spearmanr(found[1:], found[:-1]).statistic
    assert abs(rank) < 4.5 / np.sqrt(len(found))  # and independent of each other


@pytest.mark.parametrize("profile", [0, 1, 2])
def test_a_poisson_stream_is_uniform_in_time_as_the_profile_warps_it(profile):
    time = gaps(GAMMA, 1.0, profile, rate=1500.0, days=20.0)
    share = PROFILES[profile] / PROFILES[profile].sum()
    cumulative = np.concatenate([[0.0], np.cumsum(share)])
    hours = time % DAY / 3600.0
    assert stats.kstest(np.interp(hours, np.arange(25), cumulative), "uniform").pvalue > 1e-3
    count = np.histogram(hours, np.arange(25))[0]
    assert count[share == 0].sum() == 0
    open_ = share > 0
    assert stats.chisquare(count[open_], len(time) * share[open_]).pvalue > 1e-3


@pytest.mark.parametrize("profile", [0, 1, 2])
@pytest.mark.parametrize(
    ("kind", "shape"), [(GAMMA, 0.4), (GAMMA, 1.0), (GAMMA, 2.5), (WEIBULL, 0.4), (WEIBULL, 0.8), (WEIBULL, 2.0)]
)
def test_the_mean_rate_is_right_from_the_first_hour_on(kind, shape, profile):
    """Also where an hour is shorter than a gap, and where gaps vary so much that a start with a whole gap, or with any part
    of one, would show for days."""
    made = streams(senders(30_000, kind=kind, shape=shape, profile=profile, rate=3.0))
    hourly = PROFILES[profile] / PROFILES[profile].sum()
    for first, last in ((0, 1), (1, 12), (12, 48)):
        count = np.bincount(made.until(last * 3600.0).account, minlength=30_000)
        expected = 3.0 * sum(hourly[hour % 24] for hour in range(first, last))
        assert abs(count.mean() - expected) < 4.5 * count.std() / np.sqrt(30_000) + 1e-12


@pytest.mark.parametrize("burst", [0.05, 0.3, 1.0, 1.5, 2.0, 20.0])
@pytest.mark.parametrize("jitter", [0.0, 300.0, 9000.0])
def test_a_schedule_keeps_its_mean_rate_whatever_the_burst_and_the_jitter(burst, jitter):
    rate = burst * 24.0
    made = streams(senders(400, kind=PERIODIC, rate=rate, beat=(3600.0, 120.0, burst, 1.0, jitter)))
    made.until(DAY)
    count = np.bincount(made.until(8 * DAY).account, minlength=400) / 7.0
    assert abs(count.mean() - rate) < 4.5 * count.std() / np.sqrt(400) + 0.002 * rate


def test_bursts_that_last_longer_than_their_period_lose_nothing():
    """A hundred requests, a minute apart, every hour: one can only be sent a minute, and nearly that many are."""
    made = streams(senders(200, kind=PERIODIC, rate=2400.0, beat=(3600.0, 0.0, 100.0, 60.0, 0.0)))
    count = np.bincount(made.until(3 * DAY).account, minlength=200)
    assert 0.94 < count.mean() / (3 * 1440) < 1.01  # a burst that ends within an hour waits for the next
    made = streams(senders(200, kind=PERIODIC, rate=960.0, beat=(3600.0, 0.0, 40.0, 60.0, 0.0)))  # often over the hour
    count = np.bincount(made.until(20 * DAY).account, minlength=200)
    assert abs(count.mean() / (20 * 960) - 1) < 0.01


def test_bursts_begin_at_their_phases():
    phase = np.array([0.0, 600.0, 1800.0, 3599.0])
    beat = np.tile(np.array([3600.0, 0.0, 5.0, 2.0, 30.0]), (4, 1))
    beat[:, 1] = phase
    sent = streams(senders(4, kind=PERIODIC, rate=120.0, beat=beat)).until(5 * DAY)
    for account, at in enumerate(phase):
        time = sent.time[sent.account == account]
        since = (time - at) % 3600
        assert since.max() < 600  # a jitter of 30 s and some requests, 2 s apart
        begin = time[np.diff(time, prepend=-np.inf) > 1000]
        late = (begin - at) % 3600
        assert late.max() <= 30
        assert stats.kstest(late / 30, "uniform").pvalue > 1e-3
        spacing = np.diff(time)
        spacing = spacing[spacing < 1000]
        assert stats.kstest(spacing / 2.0, "expon").pvalue > 1e-3


def test_a_beat_at_the_start_counts():
    sent = streams(senders(50, kind=PERIODIC, rate=2.0, beat=(15 * DAY, 0.0, 30.0, 1.0, 0.0))).until(30 * DAY)
    for begin in (0.0, 15 * DAY):
        assert ((sent.time >= begin) & (sent.time < begin + 600)).sum() > 50 * 20
    assert abs(len(sent.time) / (50 * 60) - 1) < 0.2  # standard error 5 %


@settings(max_examples=40, deadline=None)
@given(
    starts=st.lists(st.floats(0, 3 * DAY), min_size=6, max_size=6),
    lengths=st.lists(st.floats(0, 2 * DAY), min_size=6, max_size=6),
    stop=st.floats(0, 3 * DAY),
    late=st.floats(0, 3 * DAY),
    kind=st.sampled_from([GAMMA, WEIBULL, PERIODIC]),
)
def test_nothing_is_sent_before_the_start_or_after_the_end(starts, lengths, stop, late, kind):
    start = np.array(starts)
    start[5] = np.inf
    ends = np.where(np.isfinite(start), start + np.array(lengths), np.inf)
    made = streams(senders(6, kind=kind, shape=0.7, rate=200.0, start=start, ends=ends, profile=np.arange(6) % 3))
    events = sorted([(stop, "stop"), (late, "start"), (3 * DAY, "")])
    found = []
    for time, what in events:
        found.append(made.until(time))
        if what == "stop":
            made.stop(np.array([1]), time)
        if what == "start":
            made.start(np.array([5]), time)
    sent = Sent.concat(found)
    for account in range(5):
        own = sent.time[sent.account == account]
        assert (own >= start[account]).all()
        assert (own < min(ends[account], stop if account == 1 else np.inf)).all()
    waited = sent.time[sent.account == 5]
    assert (waited >= late).all()
    if 3 * DAY - late > DAY / 2 and kind != GAMMA:
        assert len(waited) or kind == WEIBULL


def test_an_account_that_waits_has_the_rate_that_it_is_told_once_it_begins():
    made = streams(senders(3000, start=np.inf, rate=10.0))
    assert len(made.until(DAY).time) == 0
    rows = np.arange(3000)
    made.start(rows[:2000], DAY)
    made.set_rate(rows, np.full(3000, 40.0), DAY)
    count = np.bincount(made.until(2 * DAY).account, minlength=3000)
    assert count[2000:].sum() == 0
    assert abs(count[:2000].mean() / 40 - 1) < 4.5 / np.sqrt(2000 * 40)


@pytest.mark.parametrize("kind", [GAMMA, PERIODIC])
@pytest.mark.parametrize("factor", [0.2, 1.0, 5.0])
def test_a_new_rate_holds_from_now_on_at_every_hour(kind, factor):
    profile, count = (1, 4000)
    beat = (3600.0, 0.0, 24.0 / 24, 1.0, 0.0)
    made = streams(senders(count, kind=kind, rate=24.0, profile=profile, beat=beat))
    made.until(6.5 * 3600)
    made.set_rate(np.arange(count), np.full(count, 24.0 * factor), 6.5 * 3600)
    time = made.until(30.5 * 3600).time
    found = np.histogram(time, np.arange(6.5, 31.0) * 3600)[0]
    flat = np.full(24, 24.0 * factor / 24)
    cumulative = np.concatenate([[0], np.cumsum(np.tile(PEOPLE, 2) / 24)]) * 24.0 * factor
    warped = np.diff(np.interp(np.arange(6.5, 31.0), np.arange(49), cumulative))
    expected = count * (flat if kind == PERIODIC else warped)
    assert (np.abs(found - expected) < 5 * np.sqrt(1.5 * expected)).all()


def test_a_rate_that_is_told_again_changes_nothing():
    rates = crowd().rate
    plain, told = (streams(crowd(), lists(10, 5, 3)) for _ in range(2))
    found = []
    for end in np.arange(1, 13) * DAY / 4:
        told.set_rate(np.arange(len(rates)), rates, end - DAY / 4)
        found.append(told.until(end))
    assert_same(sorted_by_account(found), plain.until(3 * DAY))


def test_streams_of_accounts_are_independent_of_each_other():
    made = streams(senders(2000, rate=24.0))
    count = np.bincount(made.until(DAY).account, minlength=2000)
    assert stats.chisquare(count).pvalue > 1e-3  # Poisson: no more and no less varied than chance
    assert abs(np.corrcoef(count[1:], count[:-1])[0, 1]) < 4.5 / np.sqrt(2000)


def test_nobody_sends_nothing():
    made = Streams(PROFILES, PromptLists())
    assert len(made.until(DAY).time) == len(made) == 0
    made.stop(np.zeros(0, int), 0.0)
    made.start(np.zeros(0, int), 0.0)
    made.add(senders(0))
    assert len(made.until(DAY).time) == 0
