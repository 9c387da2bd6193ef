"""Tiny campaigns from beginning to end: what is counted in one table is what is counted in the others."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import combine_pvalues, fisher_exact

from attacks.accounts.operation import Costs
from defenses.admission.mmd_window import MMDWindow
from defenses.admission.query_quota import QueryQuota
from defenses.admission.token_bucket import TokenBucket
from defenses.admission.verification import Verification
from experiments.campaign.campaign import Past, Place
from experiments.campaign.ladder import Ladder
from experiments.campaign.policy import Policy
from experiments.campaign.records import FATES
from experiments.campaign.result import RUNGS
from experiments.campaign.sharing import Exchange
from experiments.campaign.world import World
from teacher.api.clock import DAY
from tests.experiments.campaign.tiny import Busy, Told, campaign, operation, policy

SIDES = ("honest", "attack")
MARKET = {"first": Place(), "second": Place(population=0.3), "weak": Place(population=0.2, guarded=False)}
STRICT = Policy(
    "strict",
    admission={"quota": QueryQuota(queries=40, window_hours=48.0), "identity": Verification(after_requests=15)},
    detectors={"told": Told(together=True, wrongly=9), "busy": Busy()},
    ladder=Ladder(rungs=("throttle", "hide", "verify", "alter", "ban"), cluster="alter", delay_hours=12.0),
    sharing=Exchange(),
)
CAMPAIGNS = {
    "left alone": campaign(),
    "nobody": campaign({}),
    "nobody is watched for": campaign({}, policy=policy("ban", detectors={"busy": Busy()})),
    "banned one by one": campaign({"lab": operation(replacement_hours=3.0)}, policy=policy("ban")),
    "banned together": campaign(
        {"lab": operation(replacement_hours=0.0)},
        policy=policy(detectors={"told": Told(together=True)}, delay_hours=24.0),
    ),
    "everything at once": campaign(
        {
            "one": operation(
                evasion=True, displacement=0.7, contamination=0.3, replacement_hours=1.0, probe_budget=300
            ),
            "two": operation(pacing="scheduler", share=1.0, start_day=1.0, days=2.5, standby=15, standby_after=0.2),
            "null": operation(mimic=True),
        },
        policy=STRICT,
        market=MARKET,
        release_days=(1.5,),
        epoch_hours=8.0,
    ),
    "hour by hour": campaign(
        {"lab": operation(days=2.0, replacement_hours=0.0)}, days=2.0, epoch_hours=1.0, policy=STRICT
    ),
}


@pytest.fixture(scope="module", params=CAMPAIGNS)
def ran(request):
    world = World(CAMPAIGNS[request.param])
    return world, world.run()


def by_provider(frame, *columns):
    return frame.group_by("provider", maintain_order=True).agg(pl.col(columns).sum()).sort("provider")


def of_side(world, accounts, side):
    """The accounts table of the honest, or of those that attackers opened (mimics are honest accounts by another name)."""
    honest = pl.DataFrame(
        {"provider": [p.name for p in world.providers], "honest": [p.honest for p in world.providers]}
    )
    joined = accounts.join(honest, on="provider")
    return joined.filter((pl.col("account") < pl.col("honest")) == (side == "honest"))


def test_every_request_is_served_refused_or_blocked_once(ran):
    world, result = ran
    epochs = result.epochs
    assert epochs.height == world.campaign.epochs * len(world.providers)
    for side in SIDES:
        parts = sum(epochs[f"{side}_{fate}"] for fate in ("served", "refused", "blocked"))
        assert (parts == epochs[f"{side}_sent"]).all()
        assert (epochs[f"{side}_hidden"] + epochs[f"{side}_altered"] <= epochs[f"{side}_served"]).all()
    assert result.facts["events"] == sum(epochs[f"{side}_sent"].sum() for side in SIDES) > 0
    accounts = result.accounts
    assert (accounts["served"] + accounts["refused"] + accounts["blocked"] == accounts["requests"]).all()
    assert (accounts["altered"] <= accounts["served"]).all()


def test_accounts_and_epochs_agree(ran):
    world, result = ran
    for side in SIDES:
        own = of_side(world, result.accounts, side)
        if own.is_empty():
            assert result.epochs[f"{side}_sent"].sum() == 0
            continue
        for column, name in (
            ("requests", "sent"),
            *((fate,) * 2 for fate in ("served", "refused", "blocked", "altered")),
        ):
            a = by_provider(own, column)
            b = by_provider(result.epochs, f"{side}_{name}").filter(pl.col("provider").is_in(a["provider"]))
            assert a[column].to_list() == b[f"{side}_{name}"].to_list(), (side, name)
        for what in ("banned", "lost"):
            gone = own.filter(pl.col(f"{what}_day").is_not_null()).height
            assert gone == result.epochs[f"{side}_{what}"].sum(), (side, what)


def test_harvest_epochs_and_accounts_agree(ran):
    world, result = ran
    harvest = result.harvest
    assert (sum(harvest[fate] for fate in FATES) == harvest["sent"]).all()
    usable = harvest["usable"].sum()
    assert usable == result.epochs["distil_usable"].sum() == result.accounts["distil_usable"].sum()
    per_epoch = harvest.group_by("epoch", "provider").agg(pl.col("usable", "sent").sum())
    joined = result.epochs.join(per_epoch, on=["epoch", "provider"], how="inner")
    assert (joined["usable"] == joined["distil_usable"]).all()
    assert (joined["sent"] <= joined["attack_sent"]).all()
    for name, operator in world.operators.items():
        own = harvest.filter(operation=name)
        got = own.select(pl.col("usable", "altered", "contaminated").sum()).row(0)
        assert sum(got) == operator.obtained
        planned = own.unique("capability")["planned"].sum()
        assert planned == pytest.approx(operator.operation.exchanges)
        assert set(own["capability"].to_list()) == set(operator.operation.capabilities)


def test_money_adds_up(ran):
    world, result = ran
    paid = result.facts["dollars"]
    assert set(paid) == set(world.operators)
    total = sum(sum(parts.values()) for parts in paid.values())
    assert total == pytest.approx(result.epochs["attack_dollars"].sum())
    assert (result.epochs["attack_dollars"] >= -1e-9).all()
    for provider in world.providers:
        own = result.accounts.filter(provider=provider.name)
        ledger = provider.admission.ledger.dollars_between(0.0, 30 * DAY, len(provider.accounts))
        np.testing.assert_allclose(own["dollars"].to_numpy(), ledger, rtol=1e-9, atol=1e-12)
        before = np.concatenate([provider.population.spend, np.zeros(own.height - provider.honest)])
        np.testing.assert_allclose(provider.accounts.spend, own["dollars"].to_numpy() + before)
    for name, operator in world.operators.items():
        own = result.accounts.filter(operation=name)
        factor = operator.operation.costs.token_factor
        assert paid[name]["tokens"] <= factor * own["dollars"].sum() * (1 + 1e-9)
        if operator.operation.share == 1 and not operator.operation.evasion:
            assert paid[name]["tokens"] == pytest.approx(factor * own["dollars"].sum())


def test_accounts_are_those_that_were_opened(ran):
    world, result = ran
    for name, count in result.facts["opened"].items():
        assert result.accounts.filter(operation=name).height == count >= world.campaign.operations[name].accounts
    labelled = set(result.accounts["operation"].to_list())
    assert labelled == {"", *world.campaign.operations}
    assert (
        result.epochs["attack_opened"].sum()
        == of_side(world, result.accounts, "attack").filter(pl.col("opened_day") <= world.campaign.days).height
    )
    assert (result.epochs["attack_active"] <= sum(result.facts["opened"].values())).all()


def test_times_are_in_order(ran):
    _, result = ran
    accounts = result.accounts.with_columns(pl.min_horizontal("banned_day", "lost_day").alias("gone"))
    gone = accounts.filter(pl.col("gone").is_not_null())
    assert (gone["acted_day"] <= gone["gone"]).all()
    assert accounts.filter(pl.col("banned_day").is_not_null() & pl.col("lost_day").is_not_null()).is_empty()
    rung = accounts["rung"].to_numpy()
    acted = accounts["acted_day"].is_not_null().to_numpy()
    np.testing.assert_array_equal(acted, rung > RUNGS.index("log"))
    assert accounts["opened_day"].min() <= 0


def test_clusters_are_counted_where_they_are_listed(ran):
    world, result = ran
    clusters = result.clusters
    assert clusters.height == result.epochs["clusters"].sum()
    assert (clusters["attackers"] + clusters["honest"] == clusters["size"]).all()
    assert clusters.filter(pl.col("main_count") > pl.col("attackers")).is_empty()
    members = result.accounts.filter(pl.col("cluster") >= 0)
    for row in members.iter_rows(named=True):
        assert clusters["provider"][row["cluster"]] == row["provider"]
    detectors = {name for p in world.providers for name in p.policy.detectors}
    for name in detectors:
        scored = result.accounts.filter(pl.col(f"alarm_{name}"))
        assert scored[f"score_{name}"].null_count() == 0


@pytest.mark.parametrize("name", ["everything at once", "banned together"])
def test_the_seed_decides_everything_and_threads_nothing(name, monkeypatch):
    from teacher.api import traffic

    one = World(CAMPAIGNS[name]).run()
    monkeypatch.setattr(traffic, "CHUNK", 500)
    two = World(CAMPAIGNS[name], threads=3).run()
    for table in ("epochs", "harvest", "accounts", "clusters", "edges"):
        assert getattr(one, table).equals(getattr(two, table)), table
    same = ("seconds", "peak_memory")
    assert {k: v for k, v in one.facts.items() if k not in same} == {
        k: v for k, v in two.facts.items() if k not in same
    }


def test_another_seed_gives_another_campaign():
    one, two = (World(campaign(seed=seed)).run() for seed in (0, 1))
    assert one.epochs["honest_sent"].to_list() != two.epochs["honest_sent"].to_list()


def test_left_alone_it_gets_what_it_planned():
    result = World(campaign({"lab": operation(exchanges=6000, share=1.0)})).run()
    assert abs(result.harvest["usable"].sum() / 6000 - 1) < 0.03
    share = result.harvest.group_by("capability").agg(pl.col("usable").sum() / 6000)
    assert dict(share.iter_rows()) == pytest.approx({"coding": 2 / 3, "reasoning": 1 / 3}, abs=0.03)


def test_cost_factors_are_what_the_operation_says():
    costs = Costs(sms=1.0, card=0.0, proxy_month=0.0, identity=5.0, token_factor=0.0)
    challenged = policy("verify", verification=Verification(forged_pass=1.0))
    result = World(campaign({"lab": operation(costs=costs)}, policy=challenged)).run()
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
        result = World(campaign(null, policy=policy("log", detectors=detectors), seed=seed, past=past)).run()
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


def attack(result, column):
    return result.epochs[f"attack_{column}"].to_list()


def test_throttled_accounts_have_their_allowance_a_day_and_no_more():
    for hours in (24.0, 6.0):
        told = policy("throttle", throttle_per_day=3)
        result = World(campaign(policy=told, epoch_hours=hours)).run()
        days = result.epochs.group_by(pl.col("epoch") // int(24 / hours), maintain_order=True).agg(
            pl.col("attack_served", "attack_refused", "attack_blocked").sum()
        )
        assert days["attack_refused"][0] == 0
        assert all(served <= 3 * 30 for served in days["attack_served"].to_list()[1:])
        assert all(served >= 2.5 * 30 for served in days["attack_served"].to_list()[1:])  # they ask for 25 a day
        assert result.epochs["attack_blocked"].sum() == 0
        assert result.epochs["honest_refused"].sum() == 0


def test_hidden_answers_are_served_and_of_no_use():
    result = World(campaign(policy=policy("hide"))).run()
    assert attack(result, "hidden")[0] == 0
    assert attack(result, "hidden")[1:] == attack(result, "served")[1:]
    assert result.epochs["distil_usable"].to_list()[1:] == [0, 0, 0]
    assert result.epochs["honest_hidden"].sum() == 0
    assert result.harvest["hidden"].sum() > 0 == result.harvest["altered"].sum()


def test_altered_answers_look_whole():
    """The operation takes them for what it wants, and rests once it has enough."""
    world = World(campaign(policy=policy("hide", "alter")))
    result = world.run()
    assert attack(result, "altered")[:2] == [0, 0]
    assert attack(result, "altered")[2:] == attack(result, "served")[2:]
    assert attack(result, "hidden")[2:] == [0, 0]
    assert (result.accounts.filter(operation="lab")["altered"] > 0).all()
    assert result.harvest["altered"].sum() > 0
    assert world.operators["lab"].obtained == result.harvest["altered"].sum() + result.harvest["usable"].sum()


def test_who_fails_the_check_is_blocked_from_then_on():
    told = policy("verify", verification=Verification(forged_pass=0.3))
    result = World(campaign({"lab": operation(replacement_hours=-1.0)}, policy=told)).run()
    lost = result.epochs["attack_lost"].to_list()
    assert lost[0] == pytest.approx(21, abs=8)
    assert result.accounts.filter(pl.col("lost_day").is_not_null())["banned_day"].null_count() == sum(lost)
    assert attack(result, "active")[1] == 30 - lost[0]
    assert result.epochs["honest_lost"].sum() == 0


def test_wrong_alarms_cost_honest_accounts():
    told = policy("ban", detectors={"told": Told(wrongly=10)})
    result = World(campaign(policy=told)).run()
    wrong = result.accounts.filter((pl.col("operation") == "") & pl.col("banned_day").is_not_null())
    assert wrong.height == result.epochs["honest_banned"].sum() > 15
    assert (wrong["account"] % 10 == 0).all()
    blocked = result.accounts.filter(pl.col("blocked") > 0)
    assert blocked["banned_day"].null_count() == 0


def test_a_banned_account_that_is_not_replaced_ends_the_campaign():
    result = World(campaign({"lab": operation(replacement_hours=-1.0)}, policy=policy("ban"))).run()
    assert attack(result, "banned")[0] == attack(result, "active")[0]
    assert sum(attack(result, "served")[1:]) <= 30
    assert result.epochs["distil_usable"].sum() < 600


def test_a_delay_gives_days_of_harvest():
    harvested = []
    for delay in (0.0, 24.0, 48.0):
        told = policy("ban", delay_hours=delay)
        result = World(campaign({"lab": operation(replacement_hours=-1.0)}, policy=told)).run()
        harvested.append(result.harvest["usable"].sum())
    assert harvested[0] < 0.6 * harvested[1] < 0.8 * harvested[2]


def test_an_unguarded_provider_does_nothing():
    world = World(CAMPAIGNS["everything at once"])
    result = world.run()
    weak = result.epochs.filter(provider="weak")
    for what in ("banned", "lost", "refused", "blocked", "hidden", "altered"):
        assert sum(weak[f"{side}_{what}"].sum() for side in SIDES) == 0
    assert weak["clusters"].sum() == weak["alarms"].sum() == weak["reviews"].sum() == 0
    assert weak["attack_served"].sum() > 0  # displaced accounts live there
    assert {p.name: p.honest for p in world.providers} == {"first": 300, "second": 90, "weak": 60}


def test_indicators_find_accounts_at_the_next_provider():
    exchange = Exchange(latency_hours=0.0, precision=1.0)
    told = Policy(
        "shares",
        detectors={"told": Told(together=True)},
        ladder=Ladder(delay_hours=0.0),
        sharing=exchange,
        on_indicator="ban",
    )
    market = {"first": Place(), "second": Place(population=0.5)}
    here = operation(displacement=1.0, replacement_hours=0.0, accounts_per_card=50)
    result = World(campaign({"lab": here}, policy=told, market=market)).run()
    assert result.epochs.filter(provider="first")["indicators_sent"].sum() > 0
    second = result.epochs.filter(provider="second")
    assert second["indicators_received"].sum() > 0


def test_rate_limits_refuse_and_do_not_block():
    limits = Policy("limits", admission={"bucket": TokenBucket(requests_per_minute=1 / 288, burst_minutes=288.0)})
    result = World(campaign(policy=limits)).run()
    assert attack(result, "refused")[1] > 0
    assert result.epochs["attack_blocked"].sum() == result.epochs["honest_blocked"].sum() == 0
    most = result.accounts.filter(operation="lab")["served"].max()
    assert most <= 4 * 5 + 1  # five a day, and one to begin with


def test_progress_is_told_epoch_by_epoch():
    said = []
    World(campaign({}, days=2.0, epoch_hours=12.0)).run(lambda *what: said.append(what))
    assert said == [(1, 4, "day 0.5"), (2, 4, "day 1"), (3, 4, "day 1.5"), (4, 4, "day 2")]
