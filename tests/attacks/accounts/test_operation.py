from __future__ import annotations

import math
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.accounts.operation import CAPABILITIES, MIXED, PACINGS, Costs, Operation
from configs.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exchanges", 0),
        ("exchanges", -1),
        ("days", 0.0),
        ("days", -3.0),
        ("accounts", 0),
        ("start_day", -0.1),
        ("share", 0.0),
        ("share", 1.01),
        ("share", -0.5),
        ("period_hours", 0.0),
        ("jitter", -1.0),
        ("templates", 0),
        ("pivot", -0.1),
        ("standby", -1),
        ("standby_after", 1.5),
        ("lead_days", -1.0),
        ("most_accounts", -1),
        ("most_accounts", 23_999),
        ("pace", -1.0),
        ("networks", 0),
        ("batch", 0),
        ("networks_per_batch", 0),
        ("networks_per_account", 0),
        ("shared_proxies", -0.1),
        ("accounts_per_card", 0),
        ("clients", 0),
        ("clients", 1_000_001),
        ("contamination", 2.0),
        ("probe_budget", -1),
        ("displacement", 1.1),
    ],
)
def test_values_that_cannot_be_are_refused_by_name(name, value):
    with pytest.raises(ConfigError) as caught:
        Operation(**{name: value})
    assert caught.value.field == f"operation.{name}"
    assert caught.value.value == value


@pytest.mark.parametrize("name", [f.name for f in fields(Operation) if isinstance(getattr(Operation(), f.name), float)])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_are_finite(name, value):
    with pytest.raises(ConfigError, match=rf"operation\.{name}"):
        Operation(**{name: value})


@pytest.mark.parametrize("name", [f.name for f in fields(Costs)])
@pytest.mark.parametrize("value", [-0.01, math.nan, math.inf])
def test_costs_are_not_negative(name, value):
    with pytest.raises(ConfigError, match=rf"costs\.{name}"):
        Costs(**{name: value})


def test_slips_are_met_with_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'agentic_coding'"):
        Operation(capabilities={"agentic_codng": 1.0})
    with pytest.raises(ConfigError, match="did you mean 'scheduler'"):
        Operation(pacing="schedular")


@pytest.mark.parametrize("shares", [{"coding": -1.0}, {"coding": 0.0}, {"coding": math.nan}, {"coding": math.inf}])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(ConfigError, match=r"operation\.capabilities"):
        Operation(capabilities=shares)


def test_a_second_pool_needs_a_network_of_its_own():
    with pytest.raises(ConfigError, match=r"operation\.networks.*second pool"):
        Operation(networks=1, standby=5)
    assert Operation(networks=1).networks == 1


def test_a_second_pool_counts_among_the_most_accounts():
    with pytest.raises(ConfigError, match=r"operation\.most_accounts"):
        Operation(accounts=10, standby=5, most_accounts=14)
    assert Operation(accounts=10, standby=5, most_accounts=15).most_accounts == 15


@pytest.mark.parametrize("pacing", PACINGS)
def test_every_pacing_can_be_chosen(pacing):
    assert Operation(pacing=pacing).pacing == pacing


@given(st.dictionaries(st.sampled_from((*CAPABILITIES, MIXED)), st.just(0.0) | st.floats(1e-6, 1e6), max_size=5))
def test_shares_of_capabilities_add_up_to_one(shares):
    if shares and not sum(shares.values()) > 0:
        with pytest.raises(ConfigError):
            Operation(capabilities=shares)
        return
    mix = Operation(capabilities=shares).mix()
    assert sum(mix.values()) == pytest.approx(1)
    assert all(share > 0 for share in mix.values())
    assert set(mix) <= set(CAPABILITIES)


def test_mixed_is_all_alike_and_adds_to_what_is_named_beside_it():
    assert Operation().mix() == pytest.approx(dict.fromkeys(CAPABILITIES, 1 / 9))
    mix = Operation(capabilities={"mixed": 0.9, "coding": 0.1}).mix()
    assert mix["coding"] == pytest.approx(0.2)
    assert mix["reasoning"] == pytest.approx(0.1)


def test_the_pace_that_a_plan_needs():
    operation = Operation(exchanges=12_000, share=0.25, accounts=100, days=10.0)
    assert operation.planned_pace == pytest.approx(48.0)
    assert operation.most_pace == pytest.approx(192.0)
    assert Operation(pace=7.0).most_pace == 7.0
