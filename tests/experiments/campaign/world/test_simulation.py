"""Tiny campaigns as wholes: what decides how they go, and what does not."""

from __future__ import annotations

import polars as pl
import pytest
from scipy.stats import combine_pvalues, fisher_exact

from attacks.accounts.operation import Costs
from defenses.admission.identity.verification import Verification
from defenses.admission.windows.mmd_window import MMDWindow
from experiments.campaign.config.campaign import Past, Place
from experiments.campaign.config.ladder import Ladder
from experiments.campaign.config.policy import Policy
from experiments.campaign.sharing.board import SharingTerms
from experiments.campaign.world.simulation import Simulation
from teacher.api import traffic
from tests.experiments.campaign.tiny import CAMPAIGNS, Busy, Told, campaign, operation, policy

SIDES = ("honest", "attack")


@pytest.mark.parametrize("name", ["everything at once", "banned together"])
def test_the_seed_decides_everything_and_threads_nothing(name, monkeypatch):
    one = Simulation(CAMPAIGNS[name]).run()
    monkeypatch.setattr(traffic, "CHUNK", 500)
    two = Simulation(CAMPAIGNS[name], threads=3).run()
    for table in ("epochs", "harvest", "accounts", "clusters", "edges"):
        assert getattr(one, table).equals(getattr(two, table)), table
    same = ("seconds", "peak_memory")
    assert {k: v for k, v in one.facts.items() if k not in same} == {
        k: v for k, v in two.facts.items() if k not in same
    }


def test_another_seed_gives_another_campaign():
    one, two = (Simulation(campaign(seed=seed)).run() for seed in (0, 1))
    assert one.epochs["honest_sent"].to_list() != two.epochs["honest_sent"].to_list()


def test_left_alone_it_gets_what_it_planned():
    result = Simulation(campaign({"lab": operation(exchanges=6000, share=1.0)})).run()
    assert abs(result.harvest["usable"].sum() / 6000 - 1) < 0.03
    share = result.harvest.group_by("capability").agg(pl.col("usable").sum() / 6000)
    assert dict(share.iter_rows()) == pytest.approx({"coding": 2 / 3, "reasoning": 1 / 3}, abs=0.03)


def test_cost_factors_are_what_the_operation_says():
    costs = Costs(sms=1.0, card=0.0, proxy_month=0.0, identity=5.0, token_factor=0.0)
    challenged = policy("verify", verification=Verification(forged_pass=1.0))
    result = Simulation(campaign({"lab": operation(costs=costs)}, policy=challenged)).run()
    paid = result.facts["dollars"]["lab"]
    assert paid["accounts"] == result.facts["opened"]["lab"]
    assert paid["tokens"] == paid["proxies"] == 0
    alarms = result.epochs["alarms_true"].sum()
    assert paid["identities"] == 5.0 * alarms > 0  # each alarm leads to a check, which all of them pass
    assert result.epochs["attack_lost"].sum() == 0


@pytest.mark.parametrize("detector", ["mmd", "busy"])
def test_a_null_campaign_is_detected_at_chance(detector):
    """Mimics are honest accounts by another name: no detector tells them apart."""
    watcher = MMDWindow(window=50, quantile=0.9, every_hours=24.0, reference=500, landmarks=64, features=16)
    detectors = {"mmd": {"it": watcher}, "busy": {"it": Busy(most=30)}}[detector]
    chances, alarms = [], 0
    for seed in range(3):
        null = {"null": operation(mimic=True, accounts=100)}
        past = Past(accounts=300, days=8.0)
        result = Simulation(campaign(null, policy=policy("log", detectors=detectors), seed=seed, past=past)).run()
        accounts = result.accounts
        assert (accounts["operation"] == "null").sum() == 100
        assert accounts.height == 300
        table = [
            [
                accounts.filter((pl.col("operation") == who) & (pl.col("alarm_it") == alarm)).height
                for alarm in (True, False)
            ]
            for who in ("null", "")
        ]
        alarms += table[0][0] + table[1][0]
        chances.append(fisher_exact(table).pvalue)
    assert alarms >= 20
    assert combine_pvalues(chances).pvalue > 1e-3


def test_an_unguarded_provider_does_nothing():
    world = Simulation(CAMPAIGNS["everything at once"])
    result = world.run()
    weak = result.epochs.filter(provider="weak")
    for what in ("banned", "lost", "refused", "blocked", "hidden", "altered"):
        assert sum(weak[f"{side}_{what}"].sum() for side in SIDES) == 0
    assert weak["clusters"].sum() == weak["alarms"].sum() == weak["reviews"].sum() == 0
    assert weak["attack_served"].sum() > 0  # displaced accounts live there
    assert {p.name: p.honest for p in world.providers} == {"first": 300, "second": 90, "weak": 60}


def test_indicators_find_accounts_at_the_next_provider():
    exchange = SharingTerms(latency_hours=0.0, precision=1.0)
    told = Policy(
        "shares",
        detectors={"told": Told(together=True)},
        ladder=Ladder(delay_hours=0.0),
        sharing=exchange,
        on_indicator="ban",
    )
    market = {"first": Place(), "second": Place(population=0.5)}
    here = operation(displacement=1.0, replacement_hours=0.0, accounts_per_card=50)
    result = Simulation(campaign({"lab": here}, policy=told, market=market)).run()
    assert result.epochs.filter(provider="first")["indicators_sent"].sum() > 0
    second = result.epochs.filter(provider="second")
    assert second["indicators_received"].sum() > 0


def test_progress_is_told_epoch_by_epoch():
    said = []
    Simulation(campaign({}, days=2.0, epoch_hours=12.0)).run(lambda *what: said.append(what))
    assert said == [(1, 4, "day 0.5"), (2, 4, "day 1"), (3, 4, "day 1.5"), (4, 4, "day 2")]
