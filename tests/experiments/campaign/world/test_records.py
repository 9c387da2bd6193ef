"""Tiny campaigns from beginning to end: what is counted in one table is what is counted in the others."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from experiments.campaign.config.ladder import RUNGS
from experiments.campaign.world.records import FATES
from experiments.campaign.world.simulation import Simulation
from teacher.api.clock import DAY
from tests.experiments.campaign.tiny import CAMPAIGNS

SIDES = ("honest", "attack")


@pytest.fixture(scope="module", params=CAMPAIGNS)
def ran(request):
    world = Simulation(CAMPAIGNS[request.param])
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
