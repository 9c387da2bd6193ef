"""What each rung, and each limit, does to the requests of a tiny campaign."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from defenses.admission.identity.verification import Verification
from defenses.admission.limits.query_quota import QueryQuota
from defenses.admission.limits.token_bucket import TokenBucket
from experiments.campaign.config.ladder import Ladder
from experiments.campaign.config.policy import Policy
from experiments.campaign.config.population import Population
from experiments.campaign.world.library import library
from experiments.campaign.world.people import draw, profiles
from experiments.campaign.world.provider import Provider
from experiments.campaign.world.simulation import Simulation
from teacher.api.clock import DAY
from teacher.api.prices import Prices
from teacher.api.traffic import PromptLists, Streams
from tests.experiments.campaign.tiny import Told, campaign, operation, policy


def attack(result, column):
    return result.epochs[f"attack_{column}"].to_list()


def test_throttled_accounts_have_their_allowance_a_day_and_no_more():
    for hours in (24.0, 6.0):
        told = policy("throttle", throttle_per_day=3)
        result = Simulation(campaign(policy=told, epoch_hours=hours)).run()
        days = result.epochs.group_by(pl.col("epoch") // int(24 / hours), maintain_order=True).agg(
            pl.col("attack_served", "attack_refused", "attack_blocked").sum()
        )
        assert days["attack_refused"][0] == 0
        assert all(served <= 3 * 30 for served in days["attack_served"].to_list()[1:])
        assert all(served >= 2.5 * 30 for served in days["attack_served"].to_list()[1:])  # they ask for 25 a day
        assert result.epochs["attack_blocked"].sum() == 0
        assert result.epochs["honest_refused"].sum() == 0


def test_hidden_answers_are_served_and_of_no_use():
    result = Simulation(campaign(policy=policy("hide"))).run()
    assert attack(result, "hidden")[0] == 0
    assert attack(result, "hidden")[1:] == attack(result, "served")[1:]
    assert result.epochs["distil_usable"].to_list()[1:] == [0, 0, 0]
    assert result.epochs["honest_hidden"].sum() == 0
    assert result.harvest["hidden"].sum() > 0 == result.harvest["altered"].sum()


def test_altered_answers_look_whole():
    """The operation takes them for what it wants, and rests once it has enough."""
    world = Simulation(campaign(policy=policy("hide", "alter")))
    result = world.run()
    assert attack(result, "altered")[:2] == [0, 0]
    assert attack(result, "altered")[2:] == attack(result, "served")[2:]
    assert attack(result, "hidden")[2:] == [0, 0]
    assert (result.accounts.filter(operation="lab")["altered"] > 0).all()
    assert result.harvest["altered"].sum() > 0
    assert world.operators["lab"].obtained == result.harvest["altered"].sum() + result.harvest["usable"].sum()


def test_who_fails_the_check_is_blocked_from_then_on():
    told = policy("verify", verification=Verification(forged_pass=0.3))
    result = Simulation(campaign({"lab": operation(replacement_hours=None)}, policy=told)).run()
    lost = result.epochs["attack_lost"].to_list()
    assert lost[0] == pytest.approx(21, abs=8)
    assert result.accounts.filter(pl.col("lost_day").is_not_null())["banned_day"].null_count() == sum(lost)
    assert attack(result, "active")[1] == 30 - lost[0]
    assert result.epochs["honest_lost"].sum() == 0


def test_wrong_alarms_cost_honest_accounts():
    told = policy("ban", detectors={"told": Told(wrongly=10)})
    result = Simulation(campaign(policy=told)).run()
    wrong = result.accounts.filter((pl.col("operation") == "") & pl.col("banned_day").is_not_null())
    assert wrong.height == result.epochs["honest_banned"].sum() > 15
    assert (wrong["account"] % 10 == 0).all()
    blocked = result.accounts.filter(pl.col("blocked") > 0)
    assert blocked["banned_day"].null_count() == 0


def test_a_banned_account_that_is_not_replaced_ends_the_campaign():
    result = Simulation(campaign({"lab": operation(replacement_hours=None)}, policy=policy("ban"))).run()
    assert attack(result, "banned")[0] == attack(result, "active")[0]
    assert sum(attack(result, "served")[1:]) <= 30
    assert result.epochs["distil_usable"].sum() < 600


def test_a_delay_gives_days_of_harvest():
    harvested = []
    for delay in (0.0, 24.0, 48.0):
        told = policy("ban", delay_hours=delay)
        result = Simulation(campaign({"lab": operation(replacement_hours=None)}, policy=told)).run()
        harvested.append(result.harvest["usable"].sum())
    assert harvested[0] < 0.6 * harvested[1] < 0.8 * harvested[2]


def test_rate_limits_refuse_and_do_not_block():
    limits = Policy("limits", admission={"bucket": TokenBucket(requests_per_minute=1 / 288, burst_minutes=288.0)})
    result = Simulation(campaign(policy=limits)).run()
    assert attack(result, "refused")[1] > 0
    assert result.epochs["attack_blocked"].sum() == result.epochs["honest_blocked"].sum() == 0
    most = result.accounts.filter(operation="lab")["served"].max()
    assert most <= 4 * 5 + 1  # five a day, and one to begin with


def test_requests_are_in_order_within_organisations_whoever_sends_them():
    world = Simulation(campaign(population=Population(accounts=300, requests_per_day=8.0, organisations=0.6)))
    provider = world.providers[0]
    world.operators["lab"].plan(0.0, DAY)
    seen = provider.serve(DAY)
    organisation = provider.accounts.organisation[seen.requests.account]
    assert (np.diff(organisation) >= 0).all()
    same = organisation[1:] == organisation[:-1]
    assert (np.diff(seen.requests.time)[same] >= 0).all()
    mixed = same & (seen.requests.account[1:] < seen.requests.account[:-1])
    assert mixed.sum() > 100  # not by account, that is


def test_columns_of_requests_stay_together_where_organisations_are_sorted():
    held, lists = library("hashing"), PromptLists()
    people = Population(accounts=300, requests_per_day=8.0, organisations=0.6)
    drawn = draw(people, held, lists, 4.0, 0.01, 0)
    alone = Streams(profiles(people), lists)
    alone.add(drawn.senders)
    sent = alone.until(DAY)
    one = Provider("one", Policy(), drawn, profiles(people), lists, held.prompts, Prices(), {}, 0, 1)
    seen = one.serve(DAY)
    got = seen.requests
    columns = (got.time, got.account, got.prompt, seen.listed, got.input_tokens, seen.output_tokens, got.network)
    assert len(sent.time) > 1000
    assert (got.account != sent.account).any()
    assert sorted(zip(*(c.tolist() for c in columns), strict=True)) == sorted(
        zip(*(c.tolist() for c in sent), strict=True)
    )


def test_the_allowance_is_an_accounts_and_begins_anew_each_day():
    world = Simulation(campaign({}, days=2.0, epoch_hours=6.0, policy=Policy(ladder=Ladder(throttle_per_day=2))))
    provider = world.providers[0]
    provider.climb.state.grow(300)
    provider.climb.state["throttled"][:100] = True
    served = np.zeros((2, 300), np.int64)
    asked = np.zeros((2, 300), np.int64)
    for epoch in range(8):
        seen = provider.serve((epoch + 1) * 6 * 3600.0)
        served[epoch // 4] += np.bincount(seen.requests.account[seen.served], minlength=300)
        asked[epoch // 4] += np.bincount(seen.requests.account, minlength=300)
    np.testing.assert_array_equal(served[:, :100], np.minimum(asked[:, :100], 2))
    np.testing.assert_array_equal(served[:, 100:], asked[:, 100:])


def test_the_first_requests_of_a_day_are_the_ones_that_are_served():
    world = Simulation(campaign({}, policy=Policy(ladder=Ladder(throttle_per_day=3))))
    provider = world.providers[0]
    provider.climb.state.grow(300)
    provider.climb.state["throttled"][:] = True
    seen = provider.serve(DAY)
    for account in np.unique(seen.requests.account[seen.refused]):
        own = seen.requests.account == account
        assert seen.requests.time[own & seen.served].max() < seen.requests.time[own & seen.refused].min()


def test_money_is_for_what_was_served_at_list_prices():
    world = Simulation(campaign(policy=Policy("quota", admission={"quota": QueryQuota(queries=3, window_hours=24.0)})))
    provider = world.providers[0]
    world.operators["lab"].plan(0.0, DAY)
    seen = provider.serve(DAY)
    price = (seen.requests.input_tokens * 3.0 + seen.output_tokens * 15.0) / 1e6
    np.testing.assert_allclose(seen.dollars, np.where(seen.served, price, 0.0))
    assert seen.refused.sum() > 100
    spent = np.bincount(seen.requests.account, seen.dollars, len(provider.accounts))
    np.testing.assert_allclose(provider.books["dollars"], spent)


def test_identities_are_asked_for_once_at_admission_and_attackers_pay_for_each():
    checks = Policy("checks", admission={"identity": Verification(after_requests=3, forged_pass=0.4)})
    world = Simulation(campaign({"lab": operation(replacement_hours=None)}, policy=checks))
    result = world.run()
    lab = result.accounts.filter(operation="lab")
    assert world.operators["lab"].identities == 30
    lost = lab.filter(pl.col("lost_day").is_not_null())
    assert 8 < lost.height < 28
    assert (lost["served"] == 3).all()
    assert result.facts["dollars"]["lab"]["identities"] == 30 * 15.0
    assert result.epochs["attack_lost"].sum() == lost.height
    known = world.providers[0].population.created < -30 * DAY  # these need not show who they are
    gone = result.accounts.filter(pl.col("operation") == "")["lost_day"].is_not_null().to_numpy()
    assert gone.any()
    assert not (gone & known).any()
