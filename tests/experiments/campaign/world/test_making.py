from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from configs.errors import ConfigError
from experiments.campaign.config import figures
from experiments.campaign.config.campaign import Place
from experiments.campaign.config.population import Population
from experiments.campaign.world import making
from experiments.campaign.world.homes import CLOUD_NETWORKS, NETWORKS
from experiments.campaign.world.library import library
from experiments.campaign.world.simulation import Simulation
from teacher.api.prices import Prices
from teacher.api.traffic import PromptLists
from tests.experiments.campaign.tiny import campaign, operation, policy


def test_proxies_are_distinct_homes_and_data_centres():
    found = making.networks(4000, np.random.default_rng(0))
    assert len(set(found.tolist())) == len(found) == 4000
    homes, centres = found < NETWORKS, found >= making.PROXIES
    assert (homes | centres).all()
    assert making.PROXIES == NETWORKS + CLOUD_NETWORKS
    assert abs(homes.mean() - making.RESIDENTIAL) < 0.05  # homes are drawn again a little more often than centres
    taken = found[:3000]
    assert not set(making.networks(4000, np.random.default_rng(0), taken).tolist()) & set(taken.tolist())


def test_operations_have_networks_of_their_own_and_some_in_common():
    two = {name: operation(networks=40, shared_proxies=0.5, batch=1, accounts=60) for name in ("one", "two")}
    world = Simulation(campaign(two))
    streams = world.providers[0].attack_streams.senders.network.reshape(120, -1)
    used = [set(streams[rows].ravel().tolist()) for rows in (slice(0, 60), slice(60, 120))]
    around = [operator._around for operator in world.operators.values()]
    own, shared = [set(a.own_networks.tolist()) for a in around], set(around[0].shared_networks.tolist())
    assert not own[0] & own[1]
    assert not (own[0] | own[1]) & shared
    assert len(shared) == making.FEWEST_COMMON
    assert used[0] & used[1] <= shared
    assert used[0] & used[1]
    for mine, theirs in zip(used, own, strict=True):
        assert mine <= theirs | shared
        assert mine & theirs


def test_more_proxies_than_there_are_are_refused():
    with pytest.raises(ConfigError, match=r"networks = 40000.*at most 20000 together"):
        Simulation(campaign({"lab": operation(networks=40_000)}))
    Simulation(campaign({"null": operation(networks=40_000, mimic=True)}))  # mimics rent none


def test_an_operation_is_the_same_whoever_else_operates():
    alone = Simulation(campaign({"one": operation()}))
    beside = Simulation(campaign({"one": operation(), "two": operation(accounts=10)}))
    for world in (alone, beside):
        world.operators["one"].plan(0.0, 86_400.0)
    first, second = (world.providers[0].attack_streams for world in (alone, beside))
    for column in ("rate", "start", "key"):
        np.testing.assert_array_equal(getattr(first.senders, column), getattr(second.senders, column)[:30])


def test_providers_have_their_share_of_the_population_and_other_people():
    market = {"first": Place(), "second": Place(population=0.4, guarded=False), "third": Place(population=0.0001)}
    world = Simulation(campaign(market=market, policy=policy("ban")))
    assert [p.honest for p in world.providers] == [300, 120, 1]
    first, second, _ = world.providers
    assert not set(first.population.senders.key.tolist()) & set(second.population.senders.key.tolist())
    assert first.policy.detectors
    assert not second.policy.detectors
    assert [o.ids(0).min() for o in world.operators.values()] == [300]


def test_mimics_are_honest_accounts_each_once():
    null = {"a": operation(mimic=True, accounts=100), "lab": operation(), "b": operation(mimic=True, accounts=150)}
    world = Simulation(campaign(null))
    a, b = world.mimics["a"], world.mimics["b"]
    assert (len(a), len(b), len({*a.tolist(), *b.tolist()})) == (100, 150, 250)
    assert max(a.max(), b.max()) < 300
    assert list(world.operators) == ["lab"]


@pytest.mark.parametrize("accounts", [300, 301, 5000])
def test_there_are_more_honest_accounts_than_mimics(accounts):
    with pytest.raises(ConfigError, match=r"population\.accounts = 300.*mimic"):
        campaign({"null": operation(mimic=True, accounts=accounts)})


def test_mimics_are_among_the_accounts_of_the_provider_that_is_attacked_first():
    with pytest.raises(ConfigError, match=r"population\.accounts = 150.*mimic"):
        campaign(
            {"null": operation(mimic=True, accounts=200)}, market={"first": Place(population=0.5), "other": Place()}
        )


def test_lengths_and_prices_are_those_of_the_data():
    for name in ("chat_large", "reasoning"):
        row = figures.workload(name)
        assert making.lengths(name) == tuple(row[f"{w}_ln_{p}"] for w in ("input", "output") for p in ("mu", "sigma"))
    rng = np.random.default_rng(0)
    sizes = (5.0, 0.8, 4.0, 1.1)
    drawn = [np.exp(mu + sigma * rng.standard_normal(400_000)) for mu, sigma in (sizes[:2], sizes[2:])]
    mean = (drawn[0] * 3.0 + drawn[1] * 15.0).mean() / 1e6
    assert making.mean_dollars(sizes, Prices(3.0, 15.0)) == pytest.approx(mean, rel=0.02)
    assert making.asked("coding")[:2] == making.lengths("code")[:2]
    assert making.asked("reasoning") == making.lengths("reasoning")


def test_wordings_hold_the_rows_of_a_capability_each_once():
    held = library("hashing")
    found = making.wordings(held, "coding")
    assert len(found) == 1000
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), held.rows("distil.coding"))
    for rows in found[:25]:
        assert len(set(held.template[rows].tolist())) == 1


def test_people_are_billed_for_what_they_did_before():
    one = campaign(population=Population(accounts=2000, requests_per_day=8.0))
    drawn = making.people(one.population, one, library("hashing"), PromptLists(), 0)
    old = drawn.created < 0
    assert (drawn.spend[old] > 0).all()
    assert (drawn.spend[~old] == 0).all()
    assert binomtest(int((~old).sum()), 2000, one.population.new).pvalue > 1e-3
