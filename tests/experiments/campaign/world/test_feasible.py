from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from defenses.admission.limits.query_quota import QueryQuota
from defenses.admission.limits.token_bucket import Tier, TokenBucket
from experiments.campaign.config.campaign import Place
from experiments.campaign.config.policy import Policy
from experiments.campaign.config.population import Population
from experiments.campaign.world.feasible import check_feasible
from experiments.campaign.world.making import asked, mean_dollars
from experiments.campaign.world.simulation import Simulation
from teacher.api.prices import Prices
from tests.experiments.campaign.tiny import campaign, operation


def limited(**admission):
    return Policy("limits", admission=admission)


def given_limits(admission=None, market=None, days=40.0, **fields):
    wants = {"exchanges": 6000, "days": 4.0, "share": 0.5, "accounts": 30, "lead_days": 0.0}
    lab = operation(**{**wants, **fields})
    more = {"market": market} if market else {}
    return campaign({"lab": lab}, policy=limited(**(admission or {})), days=days, **more)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"pace": 50.0}, "operations.lab.pace"),
        ({"admission": {"quota": QueryQuota(queries=200)}}, "policy.admission.quota.queries"),
        ({"admission": {"bucket": TokenBucket(requests_per_minute=0.05)}}, "policy.admission.bucket.requests_per_minute"),
        ({"admission": {"b": TokenBucket(requests_per_minute=9, dollars_per_month=1.0)}}, "admission.b.dollars_per_month"),
        ({"admission": {"b": TokenBucket(requests_per_minute=9, dollars_per_day=0.3)}}, "admission.b.dollars_per_day"),
    ],
)  # fmt: skip
def test_what_binds_is_named(fields, named):
    with pytest.raises(ConfigError, match=re.escape(named)) as caught:
        check_feasible(given_limits(**fields))
    assert caught.value.field == "campaign.operations.lab.exchanges"
    assert caught.value.value == 6000


def test_the_bound_is_what_the_message_says():
    """30 accounts, half of whose 50 requests a day are for distillation, make 3,000 exchanges in 4 days."""
    check_feasible(given_limits(pace=50.0, exchanges=3000))
    with pytest.raises(ConfigError, match=r"may make 3,000 exchanges in 4 days; .* binds at 200 requests an account"):
        check_feasible(given_limits(pace=50.0, exchanges=3001))
    check_feasible(given_limits(pace=50.0, exchanges=4000, standby=10))
    check_feasible(given_limits(pace=50.0, exchanges=6000, most_accounts=60))


def test_a_provider_without_guard_and_mimics_bound_nothing():
    tight = {"quota": QueryQuota(queries=1)}
    check_feasible(given_limits(tight, market={"first": Place(guarded=False)}))
    check_feasible(given_limits(tight, mimic=True))
    with pytest.raises(ConfigError):
        check_feasible(given_limits(tight, market={"first": Place(), "second": Place(guarded=False)}))


def test_windows_are_counted_from_the_first_day():
    """An operation across the end of a month has the allowance of two."""
    quota = {"quota": QueryQuota(queries=200)}
    check_feasible(given_limits(quota, exchanges=6000, start_day=28.0))
    with pytest.raises(ConfigError):
        check_feasible(given_limits(quota, exchanges=6001, start_day=28.0))
    with pytest.raises(ConfigError):
        check_feasible(given_limits(quota, exchanges=6000, start_day=30.0))
    price = mean_dollars(asked("reasoning"), Prices())
    cap = {"bucket": TokenBucket(requests_per_minute=99.0, dollars_per_month=200 * price)}
    check_feasible(given_limits(cap, exchanges=5990, start_day=28.0, capabilities={"reasoning": 1.0}))
    with pytest.raises(ConfigError, match="dollars_per_month"):
        check_feasible(given_limits(cap, exchanges=5990, capabilities={"reasoning": 1.0}))


def test_a_month_may_be_spent_in_a_day():
    price = mean_dollars(asked("reasoning"), Prices())
    cap = {"bucket": TokenBucket(requests_per_minute=99.0, dollars_per_month=410 * price)}
    check_feasible(given_limits(cap, capabilities={"reasoning": 1.0}))


def test_older_accounts_are_in_better_tiers():
    better = Tier(requests_per_minute=1.0, entry_age_days=6.0)
    bucket = {"bucket": TokenBucket(requests_per_minute=0.01, burst_minutes=100.0, tiers=(better,))}
    with pytest.raises(ConfigError, match="requests_per_minute"):
        check_feasible(given_limits(bucket, lead_days=1.0))
    check_feasible(given_limits(bucket, lead_days=6.0))
    check_feasible(given_limits(bucket, lead_days=4.0))  # for the second half


@settings(max_examples=12, deadline=None)
@given(
    exchanges=st.integers(1, 4000),
    rate=st.floats(0.005, 0.2),
    queries=st.integers(1, 300),
    start=st.sampled_from([0.0, 0.7, 2.0]),
    age=st.sampled_from([0.0, 2.0, 50.0]),
)
def test_nothing_that_can_be_had_is_refused(exchanges, rate, queries, start, age):
    """An operation gets no more from a provider with these limits than the bound of the message."""
    tier = Tier(requests_per_minute=3 * rate, entry_age_days=age, burst_minutes=1.01 / rate)
    bucket = TokenBucket(requests_per_minute=rate, burst_minutes=1.01 / rate, tiers=(tier,))
    admission = {"quota": QueryQuota(queries=queries, window_hours=48.0), "bucket": bucket}
    lab = operation(
        exchanges=exchanges, days=2.0, accounts=6, start_day=start, share=1.0, pivot=0.0, replacement_hours=None
    )
    few = Population(accounts=20, requests_per_day=1.0)
    one = campaign({"lab": lab}, policy=limited(**admission), population=few)
    got = Simulation(one).run().harvest["usable"].sum()
    try:
        check_feasible(one)
    except ConfigError as error:
        most = float(re.search(r"may make ([\d,]+) exchanges", str(error)).group(1).replace(",", ""))
        assert got <= most + 1
        assert most < exchanges
