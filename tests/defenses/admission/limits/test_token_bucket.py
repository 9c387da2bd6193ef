import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import configs
from configs.build import build
from configs.errors import ConfigError
from defenses.admission.limits.token_bucket import Tier, TokenBucket
from defenses.base import Defense
from teacher.api.clock import DAY
from teacher.api.prices import Prices
from teacher.api.schema import RATE_LIMITED, Verdicts
from tests.defenses.admission.one_by_one import OneByOne
from tests.defenses.admission.states import judged, state
from tests.teacher.api.fakes import requests

EVENTS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), st.integers(1, 30)), min_size=1, max_size=60)
BUCKETS = st.builds(
    TokenBucket,
    requests_per_minute=st.sampled_from([1.0, 3.0, 7.0, math.inf]),
    input_tokens_per_minute=st.sampled_from([20.0, 45.0, math.inf]),
    output_tokens_per_minute=st.sampled_from([100.0, 200.0, math.inf]),
    burst_minutes=st.sampled_from([1.0, 1.5, 4.0]),
    scope=st.sampled_from(["account", "organisation", "both"]),
)
ORGANISATION = np.array([0, 0, 1, 1])
MAX_TOKENS = 64
CONFIGS = Path(configs.__file__).parent


TIERED = st.builds(
    TokenBucket,
    requests_per_minute=st.sampled_from([1.0, 2.0]),
    input_tokens_per_minute=st.sampled_from([20.0, 45.0, math.inf]),
    output_tokens_per_minute=st.sampled_from([100.0, 130.0, math.inf]),
    burst_minutes=st.sampled_from([1.0, 2.0]),
    dollars_per_day=st.sampled_from([0.5, 2.0, math.inf]),
    dollars_per_month=st.sampled_from([3.0, math.inf]),
    scope=st.sampled_from(["account", "organisation", "both"]),
    tiers=st.sampled_from(
        [
            (),
            (Tier(requests_per_minute=4.0, input_tokens_per_minute=60.0, entry_spend=2.0, entry_age_days=0.001),),
            (
                Tier(output_tokens_per_minute=120.0, dollars_per_day=3.0, entry_spend=1.0),
                Tier(
                    requests_per_minute=9.0,
                    burst_minutes=2.0,
                    dollars_per_month=9.0,
                    entry_age_days=1.5,
                    entry_spend=1.0,
                ),
            ),
        ]
    ),
)
STREAMS = st.lists(
    st.lists(
        st.tuples(st.integers(0, 200_000), st.integers(0, 5), st.integers(1, 60), st.integers(1, 150)),
        min_size=0,
        max_size=25,
    ),
    min_size=1,
    max_size=4,
)


def batch_of(events):
    events = sorted(events, key=lambda e: e[0])
    return requests([e[0] for e in events], account=[e[1] for e in events], tokens=[e[2] for e in events])


def reference(defense, batch):
    """One event after the other, exact arithmetic: the definition of a token bucket, word for word."""
    rates = {
        "requests": defense.requests_per_minute,
        "input_tokens": defense.input_tokens_per_minute,
        "output_tokens": defense.output_tokens_per_minute,
    }
    rates = {kind: Fraction(rate) / 60 for kind, rate in rates.items() if math.isfinite(rate)}
    full = {kind: rate * 60 * Fraction(defense.burst_minutes) for kind, rate in rates.items()}
    held, since, admitted = {}, {}, []
    for time, account, tokens in zip(batch.time, batch.account, batch.input_tokens, strict=True):
        owners = {"account": ["a", account], "organisation": ["o", ORGANISATION[account]]}
        scopes = ["account", "organisation"] if defense.scope == "both" else [defense.scope]
        keys = [tuple(owners[scope]) for scope in scopes]
        cost = {"requests": 1, "input_tokens": int(tokens), "output_tokens": MAX_TOKENS}
        for key in keys:
            passed = Fraction(time) - since.get(key, Fraction(time))
            before = held.get(key, full)
            held[key] = {kind: min(full[kind], before[kind] + rates[kind] * passed) for kind in rates}
            since[key] = Fraction(time)
        ok = all(held[key][kind] >= cost[kind] for key in keys for kind in rates)
        admitted.append(ok)
        for key in keys if ok else []:
            held[key] = {kind: have - cost[kind] for kind, have in held[key].items()}
    return admitted


@settings(max_examples=150, deadline=None)
@given(BUCKETS, EVENTS)
def test_agrees_with_the_definition(defense, events):
    batch = batch_of(events)
    got = defense.admit(batch, state(organisation=ORGANISATION, max_tokens=MAX_TOKENS))
    assert got.ok.tolist() == reference(defense, batch)


@settings(max_examples=100, deadline=None)
@given(TIERED, STREAMS, st.booleans(), st.booleans(), st.integers(0, 200))
def test_agrees_with_the_loop_over_events(defense, batches, by_organisation, each, closer):
    """Verdicts, waits, reasons and tiers, over several batches with settled spend and an account opened in between."""
    fast, slow = (state(5, organisation=[7, 7, 3, 3, 9], prices=Prices(500, 3000)) for _ in range(2))
    loop = OneByOne(defense)
    start = 0.0
    for events in batches:
        events = sorted(events, key=lambda e: e[0] // (closer * 10 + 1))
        if by_organisation:
            events.sort(key=lambda e: fast.accounts.organisation[e[1] % len(fast.accounts)])
        seconds = start + np.array([e[0] // (closer * 10 + 1) for e in events], float)
        who = [e[1] % len(fast.accounts) for e in events]
        batch = requests(seconds, account=who, tokens=[e[2] for e in events])
        reserved = np.array([e[3] for e in events], np.int32) if each else 64
        verdicts = []
        for at, judge in ((fast, defense), (slow, loop)):
            at.max_tokens = reserved
            first = len(at.ledger)
            verdicts.append(judged(judge, batch, at))
            rows = first + np.flatnonzero(verdicts[-1].ok)[::2]
            paid = at.ledger.column("dollars")[rows] / 2
            at.ledger.settle(rows, batch.input_tokens[rows - first], np.ones(len(rows), int), paid)
            at.accounts.charge(at.ledger.column("account")[rows], paid)
            at.accounts.open(1, organisation=[3 if closer % 2 else 11])
        got, want = verdicts
        assert got.status.tolist() == want.status.tolist()
        assert got.reason.tolist() == want.reason.tolist()
        np.testing.assert_array_equal(got.retry_after, want.retry_after)
        np.testing.assert_array_equal(fast.accounts.tier, slow.accounts.tier)
        start = max([start, *seconds.tolist()])


@pytest.mark.parametrize("scope", ["account", "organisation", "both"])
def test_threads_agree_with_the_loop_over_events(scope):
    rng = np.random.default_rng(0)
    count, accounts = 210_000, 500
    defense = TokenBucket(requests_per_minute=1.0, burst_minutes=2.0, dollars_per_day=0.05, scope=scope)
    fast, slow = (state(accounts, organisation=np.arange(accounts) // 3) for _ in range(2))
    batch = requests(
        np.sort(rng.uniform(0, 2 * DAY, count)), rng.integers(0, accounts, count), tokens=rng.integers(1, 90, count)
    )
    got, want = defense.admit(batch, fast), OneByOne(defense).admit(batch, slow)
    assert {"requests", "daily_spend"} < set(got.reason.tolist())
    assert got.reason.tolist() == want.reason.tolist()
    np.testing.assert_array_equal(got.retry_after, want.retry_after)


def test_an_empty_batch():
    verdicts = TokenBucket(dollars_per_day=1.0).admit(requests([]), state())
    assert isinstance(verdicts, Verdicts)
    assert len(verdicts.status) == 0


@settings(max_examples=60, deadline=None)
@given(BUCKETS, EVENTS, st.integers(0, 60))
def test_cutting_a_batch_in_two_changes_nothing(defense, events, at):
    batch, whole, cut = batch_of(events), state(organisation=ORGANISATION), state(organisation=ORGANISATION)
    rows = np.arange(len(batch))
    together = judged(defense, batch, whole).status.tolist()
    apart = [judged(defense, batch.take(part), cut).status.tolist() for part in (rows[:at], rows[at:])]
    assert together == apart[0] + apart[1]


@settings(max_examples=80, deadline=None)
@given(BUCKETS, EVENTS)
def test_no_window_holds_more_than_capacity_and_refill(defense, events):
    batch = batch_of(events)
    ok = defense.admit(batch, state(organisation=ORGANISATION, max_tokens=MAX_TOKENS)).ok
    owner = batch.account if defense.scope == "account" else ORGANISATION[batch.account]
    costs = [(defense.requests_per_minute, np.ones(len(batch))), (defense.input_tokens_per_minute, batch.input_tokens)]
    for who in range(4):
        rows = np.flatnonzero(ok & (owner == who))
        for rate, cost in costs:
            for i, first in enumerate(rows):
                taken = np.cumsum(cost[rows[i:]])
                minutes = (batch.time[rows[i:]] - batch.time[first]) / 60
                if math.isfinite(rate):
                    assert (taken <= rate * (defense.burst_minutes + minutes) + 1e-6).all()


@settings(max_examples=80, deadline=None)
@given(BUCKETS, EVENTS)
def test_retry_after_is_honest(defense, events):
    batch, at = batch_of(events), state(organisation=ORGANISATION, max_tokens=MAX_TOKENS)
    verdicts = judged(defense, batch, at)
    last = len(batch) - 1
    wait = float(verdicts.retry_after[last])
    if not verdicts.ok[last] and not math.isnan(wait):
        assert wait == int(wait) > 0
        again = requests([batch.time[last] + wait], account=batch.account[last:], tokens=batch.input_tokens[last:])
        assert defense.admit(again, at).ok.all()


def test_too_large_a_request_is_told_no_time():
    verdicts = TokenBucket(input_tokens_per_minute=10, burst_minutes=2).admit(requests([0.0], tokens=21), state())
    assert verdicts.status.tolist() == [RATE_LIMITED]
    assert verdicts.reason.tolist() == ["too_large"]
    assert np.isnan(verdicts.retry_after[0])


@pytest.mark.parametrize(
    ("cap", "reason"), [("dollars_per_day", "daily_spend"), ("dollars_per_month", "monthly_spend")]
)
def test_spend_caps(cap, reason):
    defense = TokenBucket(requests_per_minute=math.inf, **{cap: 3.0})
    at = state(max_tokens=100, prices=Prices(0, 10_000))  # one dollar reserved a request
    verdicts = judged(defense, requests(range(5), account=[0, 0, 0, 0, 1]), at)
    assert verdicts.status.tolist() == [200, 200, 200, 429, 200]
    assert verdicts.reason[3] == reason
    assert np.isnan(verdicts.retry_after[3])
    at.ledger.settle(np.array([0]), np.array([5]), np.array([1]), np.array([0.01]))
    assert judged(defense, requests([10.0]), at).status.tolist() == [429], "2.01 dollars and one more"
    at.ledger.settle(np.array([1]), np.array([5]), np.array([1]), np.array([0.01]))
    assert judged(defense, requests([11.0, 12.0]), at).status.tolist() == [200, 429]
    length = DAY if cap == "dollars_per_day" else 30 * DAY
    assert judged(defense, requests([length - 1, length]), at).status.tolist() == [429, 200]


def test_organisation_caps_add_up_its_accounts():
    defense = TokenBucket(requests_per_minute=math.inf, dollars_per_day=3.0, scope="organisation")
    at = state(organisation=ORGANISATION, max_tokens=100, prices=Prices(0, 10_000))
    assert judged(defense, requests(range(3), account=[0, 1, 2]), at).ok.all()
    assert judged(defense, requests([5, 6, 7], account=[0, 1, 2]), at).status.tolist() == [200, 429, 200]


def test_promotion_needs_spend_and_age():
    tiers = (Tier(requests_per_minute=600, entry_spend=5, entry_age_days=1),)
    defense = TokenBucket(requests_per_minute=1, burst_minutes=1, tiers=tiers)
    at = state(accounts=2)
    at.accounts.spend[:] = [10, 1]
    at.accounts.created[:] = [0, -10 * DAY]
    for time, admitted in ((0.0, [True, False, True, False]), (DAY, [True, True, True, False])):
        batch = requests([time, time + 1, time + 2, time + 3], account=[0, 0, 1, 1])
        assert judged(defense, batch, at).ok.tolist() == admitted
    assert at.accounts.tier.tolist() == [1, 0]
    at.accounts.spend[0] = 0
    assert judged(defense, requests([DAY + 9, DAY + 10]), at).ok.all(), "never demoted"


@pytest.mark.parametrize(
    "fields",
    [
        {"requests_per_minute": 0},
        {"burst_minutes": -1},
        {"requests_per_minute": 0.5, "burst_minutes": 1},
        {"scope": "planet"},
        {"tiers": (Tier(entry_spend=2), Tier(entry_spend=1))},
    ],
)
def test_bad_configuration(fields):
    with pytest.raises(ConfigError, match="token_bucket"):
        TokenBucket(**fields)


def test_yaml_builds_with_its_tiers():
    node = OmegaConf.load(CONFIGS / "defense/token_bucket.yaml").token_bucket
    defense = build(node, Defense, "defense.token_bucket")
    assert [t.requests_per_minute for t in defense.tiers] == [1000, 2000, 4000]
    assert defense.dollars_per_day == math.inf
