"""An operator at work in a world without defenders, and in one where the test decides who is lost."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest

from attacks.accounts.operation import Costs, Operation
from attacks.accounts.operator import Market, Operator, Surroundings
from teacher.api.accounts import Accounts
from teacher.api.clock import DAY
from teacher.api.traffic import PromptLists, Streams

LENGTHS = (3.0, 0.5, 4.0, 0.5)
WORDINGS = {
    "coding": [np.array([row], np.int32) for row in range(60)],
    "reasoning": [np.array([row, row + 1], np.int32) for row in range(60, 120, 2)],
}
CUSTOMERS = np.arange(200, 220, dtype=np.int32)
MIX = {"coding": 3.0, "reasoning": 1.0}
DAILY = 1.0 + 0.6 * np.cos(2 * np.pi * (np.arange(24) - 14) / 24)


class Scene(NamedTuple):
    operator: Operator
    markets: list[Market]
    lists: PromptLists

    def epoch(self, now, days, ban=lambda accounts, now: []):
        """Plan, send, let the test ban, look; what was sent at each market."""
        until = now + days * DAY
        self.operator.plan(now, until)
        sent = [market.streams.until(until) for market in self.markets]
        obtained = sum(int(np.isin(s.listed, list(self.operator.capability_of)).sum()) for s in sent)
        for market in self.markets:
            market.accounts.ban(np.array(ban(market.accounts, until), np.int64))
        self.operator.look(until, days, obtained, sum(len(s.time) for s in sent))
        return sent

    def run(self, days, epoch=1.0, ban=lambda accounts, now: []):
        return [self.epoch(k * epoch * DAY, epoch, ban) for k in range(round(days / epoch))]


def scene(providers=1, releases=(), seed=0, honest=7, **fields):
    defaults = {"exchanges": 8_000, "days": 5.0, "accounts": 50, "capabilities": MIX, "share": 0.5, "networks": 40}
    lists, markets = PromptLists(), []
    for _ in range(providers):
        accounts = Accounts()
        accounts.open(honest)
        markets.append(Market(accounts, Streams(np.stack([DAILY, np.ones(24)]), lists), honest, 1_000_000_000))
    around = Surroundings(
        markets=markets,
        lists=lists,
        wordings=WORDINGS.__getitem__,
        lengths=lambda _: LENGTHS,
        customers=np.array([lists.add(CUSTOMERS[:10], LENGTHS), lists.add(CUSTOMERS[10:], LENGTHS)], np.int32),
        own_networks=np.arange(1000, 1000 + {**defaults, **fields}["networks"], dtype=np.int32),
        shared_networks=np.arange(5000, 5020, dtype=np.int32),
        diurnal=np.array([0], np.int16),
        flat=1,
        release_days=releases,
    )
    operation = Operation(**{**defaults, **fields})
    return Scene(Operator(operation, 3, around, np.random.default_rng(seed)), markets, lists)


def times(sent):
    return np.concatenate([s.time for epoch in sent for s in epoch])


def distilled(one, sent):
    return np.concatenate([s.time[np.isin(s.listed, list(one.operator.capability_of))] for e in sent for s in e])


@pytest.mark.parametrize("pacing", ["poisson", "diurnal", "scheduler"])
@pytest.mark.parametrize("epoch", [1.0, 0.25])
@pytest.mark.parametrize("pivot", [0.0, 1.0])
def test_left_alone_it_gets_what_it_wants_in_its_days(pacing, epoch, pivot):
    one = scene(pacing=pacing, pivot=pivot, releases=(2.5,))
    sent = one.run(6.0, epoch)
    assert abs(one.operator.obtained / 8_000 - 1) < 0.03
    when = distilled(one, sent)
    assert len(when) == one.operator.obtained
    assert when.max() < 5 * DAY
    assert when.max() > 4.5 * DAY


@pytest.mark.parametrize("accounts", [400, 50])
def test_a_shared_scheduler_sends_what_is_wanted_also_where_that_is_less_than_one_request_a_beat(accounts):
    one = scene(pacing="scheduler", accounts=accounts, exchanges=4_000, share=1.0, capabilities={"coding": 1.0})
    first = one.epoch(0.0, 1.0)[0]
    assert abs(len(first.time) / 800 - 1) < 0.12  # standard error 4 % where bursts vary as they do here
    one.run(5.0)
    away = np.minimum(first.time % 3600, 3600 - first.time % 3600)
    assert np.mean(first.time % 3600 < 600 + 60) > 0.95
    assert away.max() < 600 + 120


@pytest.mark.parametrize(("start", "days"), [(1.3, 2.45), (0.5, 0.4), (2.0, 3.0)])
def test_days_need_not_be_whole(start, days):
    one = scene(start_day=start, days=days, pivot=0.0)
    sent = one.run(6.0)
    when = times(sent)
    assert when.min() >= start * DAY
    assert when.max() < (start + days) * DAY
    assert abs(one.operator.obtained / 8_000 - 1) < 0.04


@pytest.mark.parametrize("epoch", [1.0, 1 / 24])
@pytest.mark.parametrize("release", [2.0, 1.5])
def test_after_a_release_demand_is_as_many_times_as_high_for_a_day(epoch, release):
    one = scene(pivot=1.0, releases=(release, 40.0), exchanges=20_000, days=4.0)
    sent = one.run(4.0, epoch)
    when = distilled(one, sent)
    after = ((when >= release * DAY) & (when < (release + 1) * DAY)).sum()
    if epoch < 1 or release == 2.0:
        assert abs(after / len(when) - 2 / 5) < 0.015  # three days at 1, one at 2; standard error 0.0035
    else:  # a day that is half after the release has the mean of the two
        assert abs(after / len(when) - 1.5 / 5) < 0.015
    assert abs(one.operator.obtained / 20_000 - 1) < 0.03


def test_no_account_is_asked_for_more_than_the_pace():
    one = scene(exchanges=100_000, pace=40.0, pivot=1.0, releases=(1.0,))
    sent = one.run(5.0)
    rate = one.markets[0].streams.senders.rate
    assert (rate <= 40.0).all()
    count = np.bincount(np.concatenate([e[0].account for e in sent]), minlength=50)
    assert abs(count.mean() / (40 * 5) - 1) < 0.05  # standard error 1 %
    assert count.max() < 40 * 5 + 5 * np.sqrt(200)


def test_what_is_not_for_distillation_is_what_customers_ask():
    one = scene(share=0.25, exchanges=10_000)
    sent = one.run(5.0)
    listed = np.concatenate([e[0].listed for e in sent])
    prompt = np.concatenate([e[0].prompt for e in sent])
    own = np.isin(listed, list(one.operator.capability_of))
    assert abs(own.mean() - 0.25) < 0.01
    assert set(prompt[~own].tolist()) == set(CUSTOMERS.tolist())
    asked = Counter(one.operator.capability_of[n] for n in listed[own].tolist())
    assert abs(asked["coding"] / own.sum() - 0.75) < 0.02
    for number, capability in one.operator.capability_of.items():
        assert set(prompt[listed == number].tolist()) <= set(np.concatenate(WORDINGS[capability]).tolist())


@pytest.mark.parametrize("templates", [1, 7, 60, 1000])
def test_wordings_are_as_many_as_asked_for(templates):
    one = scene(templates=templates, exchanges=15_000)
    sent = one.run(3.0)
    prompt = np.concatenate([e[0].prompt for e in sent])
    assert len(set(prompt[prompt < 60].tolist())) == min(templates, 60)


def test_accounts_are_opened_in_the_days_before_and_replaced_within_hours():
    one = scene(start_day=1.0, accounts=400, lead_days=4.0, replacement_hours=3.0)
    created = one.markets[0].accounts.created[7:]
    assert created.min() >= -3 * DAY
    assert created.max() <= DAY
    assert abs(created.mean() / DAY + 1) < 0.2  # standard error 0.06 of a day
    one.epoch(0.0, 1.0)
    one.epoch(DAY, 1.0, lambda accounts, now: range(7, 307))
    wait = (one.markets[0].accounts.created[407:] - 2 * DAY) / 3600
    assert len(wait) == one.operator.opened - 400 == 300
    assert abs(np.median(wait) / 3.0 - 1) < 0.25  # standard error 7 %
    assert abs(np.log(wait).std() - 1.0) < 0.15
    later = one.epoch(2 * DAY, 1.0)[0]
    fresh = later.account >= 400
    assert fresh.any()
    assert (later.time[fresh] >= one.markets[0].accounts.created[7:][later.account[fresh]]).all()
    assert not np.isin(later.account, np.arange(300)).any()  # the lost send no more


@pytest.mark.parametrize(
    ("fields", "opened"),
    [({"replacement_hours": None}, 50), ({"most_accounts": 60}, 60), ({"most_accounts": 50}, 50), ({}, 80)],
)
def test_replacements_end_where_they_should(fields, opened):
    one = scene(replacement_hours=fields.pop("replacement_hours", 0.0), **fields)
    one.epoch(0.0, 1.0, lambda accounts, now: range(7, 37))
    assert one.operator.opened == len(one.markets[0].accounts) - 7 == opened
    one.run(0.0)
    assert len(one.operator.ids(0)) == opened


def test_nobody_is_opened_for_a_time_after_the_end():
    one = scene(days=2.0, replacement_hours=12.0, accounts=300)
    one.epoch(0.0, 1.0, lambda accounts, now: range(7, 307))
    created = one.markets[0].accounts.created[307:]
    assert 150 < len(created) < 300  # a lognormal wait of median half a day: three quarters come in time
    assert created.max() < 2 * DAY
    one.epoch(DAY, 1.0, lambda accounts, now: range(7, len(accounts)))
    assert len(one.markets[0].accounts) == 307 + len(created)


def test_once_it_has_enough_it_rests():
    one = scene(exchanges=500, pivot=0.0)
    one.epoch(0.0, 1.0)
    one.operator.look(DAY, 0.0, 500, 0)
    assert len(one.epoch(DAY, 1.0, lambda accounts, now: range(7, 20))[0].time) == 0
    assert one.operator.opened == 50


def test_the_second_pool_waits_for_its_time_and_has_nothing_in_common_with_the_first():
    one = scene(
        standby=30, standby_after=0.4, replacement_hours=None, networks=40, shared_proxies=0.5, templates=60, clients=3,
        batch=4, exchanges=100_000, share=1.0,
    )  # fmt: skip
    first = one.epoch(0.0, 1.0, lambda accounts, now: range(7, 7 + 19))[0]  # 38 %
    assert first.account.max() < 50
    still = one.epoch(DAY, 1.0, lambda accounts, now: [7 + 19])[0]  # now 40 %
    assert still.account.max() < 50
    both = one.epoch(2 * DAY, 1.0)[0]
    assert set(range(50, 80)) == set(both.account[both.account >= 50].tolist())
    table = one.markets[0].accounts
    a, b = slice(7, 57), slice(57, 87)
    for name in ("payment", "fingerprint", "network"):
        assert not set(getattr(table, name)[a].tolist()) & set(getattr(table, name)[b].tolist()), name
    mine, second = both.account < 50, both.account >= 50
    assert not set(both.network[mine].tolist()) & set(both.network[second].tolist())
    assert not set(both.prompt[mine].tolist()) & set(both.prompt[second].tolist())


def test_the_lost_are_replaced_in_their_own_pool():
    one = scene(standby=20, standby_after=0.0, replacement_hours=0.0, shared_proxies=0.0)
    one.epoch(0.0, 1.0)
    table = one.markets[0].accounts
    one.epoch(DAY, 1.0, lambda accounts, now: [8, 9, 60, 61, 62])
    pools = [set(table.network[rows].tolist()) for rows in (slice(7, 57), slice(57, 77))]
    replaced = table.network[77:]
    assert len(replaced) == 5
    assert (np.isin(replaced, np.arange(1000, 1020)).sum(), np.isin(replaced, np.arange(1020, 1040)).sum()) == (2, 3)
    assert pools[0] <= set(range(1000, 1020))
    assert pools[1] <= set(range(1020, 1040))


def test_a_pool_that_waits_and_is_lost_meanwhile_never_sends():
    one = scene(standby=10, standby_after=0.5, replacement_hours=None)
    one.epoch(0.0, 1.0, lambda accounts, now: range(57, 60))
    one.epoch(DAY, 1.0, lambda accounts, now: range(7, 32))
    sent = one.epoch(2 * DAY, 1.0)[0]
    assert set(range(53, 60)) <= set(sent.account.tolist())
    assert not set(range(50, 53)) & set(sent.account.tolist())


def test_the_second_pool_does_not_begin_before_the_operation():
    one = scene(standby=10, standby_after=0.0, start_day=2.0, days=3.0)
    sent = one.run(5.0)
    assert times(sent).min() >= 2 * DAY


@pytest.mark.parametrize("displacement", [0.0, 1.0])
def test_the_lost_are_replaced_where_accounts_live_longer(displacement):
    one = scene(providers=2, displacement=displacement, replacement_hours=0.0, days=30.0, exchanges=100_000)
    assert [len(m.accounts) - 7 for m in one.markets] == [50, 0]  # it goes to the first provider first
    strict = one.markets[0].accounts
    for day in range(12):
        one.epoch(day * DAY, 1.0, lambda accounts, now: range(7, len(accounts)) if accounts is strict else [])
    live = [int((~m.accounts.banned[7:]).sum()) for m in one.markets]
    assert sum(live) == 50
    assert live[1] == 0 if displacement == 0 else live[1] > 45
    for provider, market in enumerate(one.markets):
        ids = one.operator.ids(provider)
        assert sorted(ids.tolist()) == list(range(7, len(market.accounts)))
        assert not market.accounts.genuine[ids].any()


def test_cards_networks_and_clients_are_shared_as_configured():
    one = scene(accounts=200, accounts_per_card=4, clients=3, batch=20, networks_per_batch=2, shared_proxies=0.0)
    table, streams = one.markets[0].accounts, one.markets[0].streams
    cards = Counter(table.payment[7:].tolist())
    assert set(cards.values()) == {4}
    assert len(set(table.fingerprint[7:].tolist())) == 3
    per_batch = streams.senders.network.reshape(10, 20 * 3)
    assert all(len(set(row.tolist())) <= 2 for row in per_batch)
    assert set(per_batch.ravel().tolist()) <= set(range(1000, 1040))
    common = scene(shared_proxies=1.0).markets[0].streams.senders.network
    assert set(common.tolist()) <= set(range(5000, 5020))


def test_operations_have_no_cards_and_clients_in_common():
    tables = []
    for number in (0, 1):
        one = scene()
        again = Operator(one.operator.operation, number, one.operator._around, np.random.default_rng(number))
        table = one.markets[0].accounts
        tables.append((table, again.ids(0)))
    for name in ("payment", "fingerprint"):
        held = [set(getattr(table, name)[ids].tolist()) for table, ids in tables]
        assert not held[0] & held[1]


def test_costs_add_up():
    costs = Costs(sms=0.5, card=2.0, proxy_month=3.0, identity=7.0, token_factor=0.1)
    one = scene(costs=costs, replacement_hours=0.0, standby=10, standby_after=1.0)
    one.epoch(0.0, 1.0, lambda accounts, now: range(7, 17))
    one.epoch(DAY, 0.5)
    one.operator.identities = 4
    paid = one.operator.dollars(tokens=1000.0)
    assert one.operator.opened == 50 + 10 + 10
    days = 60 * 1.0 + 60 * 0.5  # 50 at work, 10 waiting
    assert paid == pytest.approx(
        {"tokens": 100.0, "accounts": 70 * 2.5, "proxies": days / 30 * 3.0, "identities": 28.0}
    )


def test_the_same_seed_gives_the_same_operation_and_another_one_another():
    first, again, other = (times(scene(seed=seed).run(2.0)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert len(first) != len(other) or not np.array_equal(first, other)
