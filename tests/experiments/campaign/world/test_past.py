from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from defenses.admission.detector import Detector, Suspicion
from defenses.admission.limits.token_bucket import TokenBucket
from defenses.admission.windows.mmd_window import MMDWindow
from experiments.campaign.config.campaign import Past
from experiments.campaign.config.policy import Policy
from experiments.campaign.world import past
from experiments.campaign.world.library import library
from experiments.campaign.world.simulation import Simulation
from teacher.api.clock import DAY
from tests.experiments.campaign.tiny import campaign

SEEN = []


@dataclass(frozen=True)
class Curious(Detector):
    """Keeps what it is fitted on."""

    name: ClassVar[str] = "curious"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "the test"
    needs_red_team: ClassVar[bool] = True

    def fit(self, benign, red_team, rng):
        SEEN.append((benign, red_team))
        return {"number": torch.tensor(rng.random())}

    def watch(self, requests, output_tokens, state):
        state.memory["prepared"] = state.prepared

    def examine(self, state, now):
        return Suspicion.nobody()


def shown(**fields):
    SEEN.clear()
    found = past.fitted(campaign(policy=Policy(detectors={"it": Curious()}), **fields), library("hashing"))
    return found["it"], *SEEN[0]


def test_the_past_is_honest_traffic_of_other_accounts_and_a_red_team():
    given = campaign()
    _, benign, red_team = shown()
    assert len(benign.accounts) == given.past.accounts == 200
    assert benign.accounts.genuine.all()
    assert benign.requests.time.max() < given.past.days * DAY
    assert len(benign.output_tokens) == len(benign.requests) > 1000
    people = Simulation(given).providers[0]
    assert not set(benign.accounts.created.tolist()) & set(people.accounts.created.tolist())
    who = np.unique(red_team.requests.account)
    assert not red_team.accounts.genuine[who].any()
    assert (~red_team.accounts.genuine).sum() == len(who) == given.past.red_team
    assert red_team.requests.time.max() < given.past.days * DAY


def test_the_red_team_harvests_in_all_its_ways():
    _, _, red_team = shown()
    held = library("hashing")
    distil = np.array([name.startswith("distil.") for name in held.groups])[held.group]
    share = np.bincount(red_team.requests.account, distil[red_team.requests.prompt]) / np.maximum(
        np.bincount(red_team.requests.account), 1
    )
    share = share[~red_team.accounts.genuine]
    for blend in past.BLENDS:
        assert (np.abs(share - blend) < 0.08).sum() >= len(share) / 3 - 3
    count = np.bincount(red_team.requests.account)[~red_team.accounts.genuine]
    assert count.max() > 5 * count.min()


def test_the_past_is_the_same_whatever_the_campaign_does_but_for_its_seed():
    _, benign, red_team = shown()
    _, same, same_red = shown(days=2.0, operations={}, release_days=(1.0,))
    for one, two in ((benign, same), (red_team, same_red)):
        np.testing.assert_array_equal(one.requests.time, two.requests.time)
    _, other, _ = shown(seed=1)
    assert len(other.requests) != len(benign.requests)


def test_there_are_no_more_in_the_past_than_in_the_population():
    _, benign, _ = shown(past=Past(accounts=5000, days=1.0, red_team=27))
    assert len(benign.accounts) == 300


def test_who_needs_nothing_is_not_fitted(monkeypatch):
    monkeypatch.setattr(past, "_traffic", lambda *_, **__: pytest.fail("drew traffic"))
    limits = Policy(admission={"bucket": TokenBucket()})
    assert past.fitted(campaign(policy=limits), library("hashing")) == {}


def test_detectors_get_what_they_found():
    SEEN.clear()
    world = Simulation(campaign(policy=Policy(detectors={"one": Curious(), "two": Curious()})))
    world.providers[0].watch(world.providers[0].serve(DAY), DAY)
    memory = world.providers[0]._watching.memory
    numbers = [float(memory[name]["prepared"]["number"]) for name in ("one", "two")]
    assert numbers[0] != numbers[1]  # each draws for itself
    assert SEEN[0][0] is SEEN[1][0]  # from one past


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "reference takes"),
        ({"reference": 500}, r"windows of 500 requests.*quantile 0\.99 needs"),
        ({"reference": 500, "benign_windows": "within"}, r"windows of 500 requests.*quantile 0\.99 needs"),
    ],
)
def test_too_little_past_is_named_with_what_is_needed_and_where_it_comes_from(fields, said):
    hungry = Policy(detectors={"own_name": MMDWindow(window=500, quantile=0.99, **fields)})
    with pytest.raises(ConfigError, match=said) as caught:
        Simulation(campaign(policy=hungry))
    assert caught.value.field == "policy.detectors.own_name.benign_requests"
    assert "past.accounts and past.days" in str(caught.value)


@pytest.mark.parametrize(
    "fields", [{"accounts": 0}, {"days": 0.0}, {"days": 0.5}, {"days": float("inf")}, {"red_team": 0}]
)
def test_pasts_that_cannot_be_are_refused(fields):
    with pytest.raises(ConfigError, match=rf"past\.{next(iter(fields))}"):
        Past(**fields)
