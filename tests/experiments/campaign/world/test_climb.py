from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from defenses.admission.detector import Suspicion
from defenses.admission.identity.verification import Verification
from experiments.campaign.config.ladder import RUNGS, Ladder
from experiments.campaign.world.climb import Climb
from teacher.api.accounts import Accounts
from teacher.api.clock import DAY

EVERYBODY_PASSES = Verification(abandonment=0.0, false_reject=0.0, forged_pass=1.0)
NOBODY_PASSES = Verification(abandonment=1.0, false_reject=0.0, forged_pass=0.0)


def climb(accounts=100, **fields):
    table = Accounts()
    table.open(accounts)
    return Climb(Ladder(**fields), table, 0), table


def alarms(*accounts):
    who = np.array(accounts, np.int32)
    return Suspicion(who, np.full(len(who), 2.0), np.ones(len(who), np.bool_), np.full(len(who), -1, np.int32))


def groups(*members):
    """One cluster for each list of accounts."""
    who = np.concatenate([np.array(m, np.int32) for m in members])
    number = np.repeat(np.arange(len(members), dtype=np.int32), [len(m) for m in members])
    return Suspicion(who, np.full(len(who), 2.0), np.ones(len(who), np.bool_), number)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"rungs": ("verfy",)}, r"ladder\.rungs.*verfy.*did you mean 'verify'"),
        ({"rungs": ("ban_cluster",)}, r"ladder\.rungs.*ban_cluster"),
        ({"rungs": ("none",)}, r"ladder\.rungs.*none"),
        ({"rungs": ()}, r"ladder\.rungs"),
        ({"cluster": "none"}, r"ladder\.cluster"),
        ({"delay_hours": -1.0}, r"ladder\.delay_hours"),
        ({"delay_hours": float("nan")}, r"ladder\.delay_hours"),
        ({"reviews_per_day": -1.0}, r"ladder\.reviews_per_day"),
        ({"patience_days": -0.5}, r"ladder\.patience_days"),
        ({"throttle_per_day": -1}, r"ladder\.throttle_per_day"),
    ],
)
def test_ladders_that_cannot_be_are_refused(fields, named):
    with pytest.raises(ConfigError, match=named):
        Ladder(**fields)


def test_an_alarm_moves_an_account_up_by_one_rung_and_the_last_repeats():
    ladder, table = climb(4, rungs=("log", "throttle", "hide", "alter"), delay_hours=0.0)
    reached = []
    for day in range(1, 7):
        ladder.suspect(alarms(1), day * DAY, 0)
        ladder.act(day * DAY, 1.0)
        reached.append(RUNGS[ladder.state["rung"][1]])
    assert reached == ["log", "throttle", "hide", "alter", "alter", "alter"]
    assert ladder.state["throttled"].tolist() == [False, True, False, False]
    assert ladder.state["altered"].tolist() == [False, True, False, False]
    assert not ladder.state["hidden"].any()  # an altered answer is whole
    assert ladder.state["acted"][1] == 2 * DAY  # writing down is no action
    assert ladder.state["alarmed"][1] == DAY
    assert np.isnan(ladder.state["acted"][[0, 2, 3]]).all()
    assert not table.banned.any()


def test_nothing_is_done_before_its_delay():
    ladder, table = climb(3, rungs=("ban",), delay_hours=30.0)
    ladder.suspect(alarms(0, 2), 1 * DAY, 0)
    assert len(ladder.act(1 * DAY, 1.0).banned) == 0
    assert len(ladder.act(2 * DAY, 1.0).banned) == 0
    assert ladder.act(3 * DAY, 1.0).banned.tolist() == [0, 2]
    assert table.banned.tolist() == [True, False, True]
    assert ladder.state["banned"][[0, 2]].tolist() == [3 * DAY] * 2


def test_accounts_that_fail_the_check_are_lost_and_those_that_pass_may_stay():
    for check, lost in ((EVERYBODY_PASSES, []), (NOBODY_PASSES, [1])):
        ladder, table = climb(3, rungs=("verify",), delay_hours=0.0, verification=check)
        ladder.suspect(alarms(1), DAY, 0)
        acted = ladder.act(DAY, 1.0)
        assert acted.challenged.tolist() == [1]
        assert acted.lost.tolist() == lost == np.flatnonzero(table.banned).tolist()
        assert len(acted.banned) == 0
        assert (table.verified_until[1] > DAY) == (not lost)


def test_accounts_lost_at_admission_are_counted_once():
    ladder, table = climb(4, rungs=("ban",), delay_hours=0.0)
    ladder.suspect(alarms(0, 3), DAY, 0)
    ladder.close(np.array([3]), DAY)
    acted = ladder.act(DAY, 1.0)
    assert (acted.banned.tolist(), acted.lost.tolist()) == ([0], [3])
    assert RUNGS[ladder.state["rung"][3]] == "verify"
    again = ladder.act(2 * DAY, 1.0)
    assert len(again.banned) == len(again.lost) == 0
    assert table.banned.tolist() == [True, False, False, True]


def test_the_largest_clusters_are_reviewed_first_and_the_others_wait():
    ladder, _ = climb(30, reviews_per_day=1.0, delay_hours=0.0, patience_days=2.5)
    sizes = [3, 9, 6, 2]
    edges = np.cumsum([0, *sizes])
    found = ladder.suspect(groups(*(range(a, b) for a, b in itertools.pairwise(edges))), DAY, 7)
    assert [(c.row, len(c.members)) for c in found] == [(7, 3), (8, 9), (9, 6), (10, 2)]
    done = [ladder.act(day * DAY, 1.0) for day in (1, 2, 3, 4, 5)]
    assert [[c.row for c in d.clusters] for d in done] == [[8], [9], [7], [], []]  # the last was given up
    assert [d.reviews for d in done] == [1, 1, 1, 0, 0]
    assert [len(d.banned) for d in done] == [9, 6, 3, 0, 0]


def test_a_reviewed_cluster_waits_for_its_delay_and_for_no_second_review():
    ladder, table = climb(10, reviews_per_day=1.0, delay_hours=48.0, patience_days=1.0)
    ladder.suspect(groups([1, 2, 3]), DAY, 0)
    assert ladder.act(DAY, 1.0).reviews == 1
    assert len(ladder.act(2 * DAY, 1.0).banned) == 0
    assert ladder.act(3 * DAY, 1.0).banned.tolist() == [1, 2, 3]
    assert table.banned.sum() == 3


def test_no_review_is_spent_on_a_cluster_whose_accounts_are_gone():
    """The same cluster is found again on each day until its delay is over."""
    ladder, _ = climb(20, reviews_per_day=1.0, delay_hours=24.0, cluster="ban_cluster")
    ladder.suspect(groups([0, 1, 2, 3, 4]), DAY, 0)
    assert ladder.act(DAY, 1.0).reviews == 1
    ladder.suspect(groups([0, 1, 2, 3, 4], [7, 8]), 2 * DAY, 1)
    second = ladder.act(2 * DAY, 1.0)
    assert second.banned.tolist() == [0, 1, 2, 3, 4]
    assert second.reviews == 1
    third = ladder.act(3 * DAY, 1.0)
    assert third.banned.tolist() == [7, 8]
    assert [c.row for c in third.clusters] == [2]


def test_the_last_of_a_group_is_judged_alone():
    ladder, _ = climb(10, rungs=("throttle",), cluster="ban_cluster", delay_hours=0.0)
    assert [c.members.tolist() for c in ladder.suspect(groups([4], [5, 6]), DAY, 3)] == [[5, 6]]
    acted = ladder.act(DAY, 1.0)
    assert acted.banned.tolist() == [5, 6]
    assert [c.row for c in acted.clusters] == [3]
    assert np.flatnonzero(ladder.state["throttled"]).tolist() == [4]


def test_what_another_provider_told_is_done_at_once():
    ladder, table = climb(10, rungs=("log",), verification=NOBODY_PASSES)
    ladder.indicate("verify", np.array([2, 3], np.int32), DAY)
    ladder.indicate("ban", np.array([5], np.int32), DAY)
    acted = ladder.act(DAY, 1.0)
    assert (acted.banned.tolist(), acted.lost.tolist(), acted.challenged.tolist()) == ([5], [2, 3], [2, 3])
    assert table.banned.sum() == 3
    assert ladder.state["alarmed"][[2, 3, 5]].tolist() == [DAY] * 3
    assert len(ladder.act(2 * DAY, 1.0).banned) == 0


def test_a_day_has_its_reviews_whatever_the_length_of_an_epoch():
    for epochs in (1, 4, 24):
        ladder, _ = climb(300, reviews_per_day=3.0, delay_hours=0.0, patience_days=100.0)
        per_day = []
        for day in range(3):
            ladder.suspect(groups(*([20 * day + i, 20 * day + i + 10] for i in range(10))), day * DAY + 1.0, 0)
            ends = [(day + (k + 1) / epochs) * DAY for k in range(epochs)]
            per_day.append(sum(ladder.act(end, 1.0 / epochs).reviews for end in ends))
        assert per_day == [3, 3, 3]


def test_fractions_of_a_review_add_up():
    for rate, expected in ((0.5, 5), (1.5, 15), (0.0, 0), (2.0, 20)):
        ladder, _ = climb(300, reviews_per_day=rate, delay_hours=0.0, patience_days=100.0)
        ladder.suspect(groups(*([i, i + 60] for i in range(60))), 0.0, 0)
        reviews = [ladder.act((day + 1) * DAY, 1.0).reviews for day in range(10)]
        assert sum(reviews) == expected
        assert max(reviews) <= np.ceil(rate)


day_of_alarms = st.lists(st.tuples(st.integers(0, 39), st.integers(-1, 4)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    days=st.lists(day_of_alarms, min_size=1, max_size=10),
    rungs=st.lists(st.sampled_from(RUNGS[1:-1]), min_size=1, max_size=4),
    cluster=st.sampled_from(RUNGS[1:]),
    delay=st.sampled_from([0.0, 6.0, 24.0, 60.0]),
    per_day=st.sampled_from([0.0, 0.4, 1.0, 2.5, 100.0]),
    patience=st.sampled_from([0.0, 1.0, 4.0]),
    epochs=st.sampled_from([1, 2, 24]),
)
def test_whatever_is_suspected_nobody_is_acted_on_early_or_twice(
    days, rungs, cluster, delay, per_day, patience, epochs
):
    ladder, table = climb(
        40,
        rungs=tuple(rungs),
        cluster=cluster,
        delay_hours=delay,
        reviews_per_day=per_day,
        patience_days=patience,
    )
    first: dict[int, float] = {}
    gone: set[int] = set()
    reviews: Counter[int] = Counter()
    for day, suspected in enumerate(days):
        for k in range(epochs):
            now = (day + (k + 1) / epochs) * DAY
            if k == 0 and suspected:
                unique = {who: number for who, number in suspected if who not in gone}
                who = np.array(sorted(unique), np.int32)
                number = np.array([unique[w] for w in who.tolist()], np.int32)
                for w in who.tolist():
                    first.setdefault(w, now)
                ladder.suspect(Suspicion(who, np.ones(len(who)), np.ones(len(who), np.bool_), number), now, 0)
            acted = ladder.act(now, 1.0 / epochs)
            reviews[day] += acted.reviews
            left = [*acted.banned.tolist(), *acted.lost.tolist()]
            assert len(set(left)) == len(left)
            assert not gone & set(left)
            gone |= set(left)
            assert np.flatnonzero(table.banned).tolist() == sorted(gone)
            for name in ("acted", "banned", "lost"):
                then = ladder.state[name]
                for w in np.flatnonzero(~np.isnan(then)).tolist():
                    assert then[w] >= first[w] + 3600.0 * delay
    assert all(count <= np.ceil(per_day) for count in reviews.values())
    assert not (~np.isnan(ladder.state["banned"]) & ~np.isnan(ladder.state["lost"])).any()
    assert set(np.flatnonzero(ladder.state["rung"]).tolist()) <= set(first)
    assert not (ladder.state["hidden"] & ladder.state["altered"]).any() or "hide" in (*rungs, cluster)
