"""The page on campaigns is followed to the letter: its preset, policy and detector are written and used."""

from __future__ import annotations

import importlib
import re

import numpy as np
import pytest

from configs.errors import ConfigError
from defenses.base import AdmissionState, Traffic
from experiments.campaign.from_config import stage_from
from experiments.campaign.measure.policy_summary import measures
from experiments.cli.roots import CAMPAIGN
from experiments.compose.compose import compose_one
from lm.ragged import Ragged
from teacher.api.accounts import Accounts
from teacher.api.ledger import Ledger
from teacher.api.prices import Prices
from teacher.api.schema import Prompts, Requests
from tests.experiments.campaign.synthetic import campaign
from tests.test_docs import ROOT
from tests.test_docs import written as written  # a fixture


@pytest.mark.parametrize("form", ["tree", "package"])
def test_preset_policy_and_detector_become_a_campaign(written, form):
    chosen = [getattr(written, form), "campaign=two_pools", "population=small", "policy=clock"]
    campaign = stage_from(compose_one(chosen, CAMPAIGN).plain).campaign
    assert list(campaign.operations) == ["careful", "crude"]
    assert campaign.policy.name == "clock"
    assert campaign.policy.ladder.rungs == ("throttle", "ban")
    assert list(campaign.policy.admission) == ["anthropic_tiers"]
    (detector,) = campaign.policy.detectors.values()
    assert type(detector).__module__ == f"{'defenses.admission.windows' if form == 'tree' else 'mine'}.round_the_clock"
    assert detector.every_hours == 24.0


def _hourly(hours: dict[int, list[int]]) -> Requests:
    rows = sorted((account, hour) for account, own in hours.items() for hour in own)
    account, hour = np.array(rows).T
    zeros = np.zeros(len(rows), np.int64)
    return Requests(hour * 3600.0 + 5, account.astype(np.int32), zeros, zeros.astype(np.int32), zeros)


def test_the_detector_suspects_who_never_sleeps(written):
    compose_one([written.tree, "defense=round_the_clock"])
    kind = importlib.import_module("defenses.admission.windows.round_the_clock").RoundTheClock
    past = _hourly({a: [24 * d + h for d in range(2) for h in range(9, 9 + a % 10)] for a in range(1, 200)})
    detector = kind(false_alarms=0.01)
    prepared = detector.fit(traffic_of(past, 200), None, np.random.default_rng(0))
    assert float(prepared["threshold"]) == 9
    state = state_of(prepared, 4)
    assert not len(detector.examine(state, 0.0).account)
    days = {0: [*range(9, 18)], 1: [*range(24)], 2: [*range(10), *range(30, 39)], 3: [8]}
    requests = _hourly(days)
    for rows in (np.arange(5), np.arange(5, len(requests)), np.arange(0)):
        detector.watch(requests.take(rows), np.zeros(len(rows), np.int32), state)
    found = detector.examine(state, 38.5 * 3600)
    assert found.account.tolist() == [0, 1, 2, 3]
    assert found.score.tolist() == [9, 24, 10, 1]
    assert found.alarm.tolist() == [False, True, True, False]
    assert not len(detector.examine(state, 39 * 3600.0).account), "nothing new"
    detector.watch(_hourly({2: [40, 41]}), np.zeros(2, np.int32), state)
    again = detector.examine(state, 42 * 3600.0)
    assert (again.account.tolist(), again.score.tolist()) == ([2], [11]), "the day goes on"
    with pytest.raises(ConfigError, match="needs 100 past accounts"):
        detector.fit(traffic_of(_hourly({0: [1]}), 1), None, np.random.default_rng(0))


def traffic_of(requests: Requests, accounts: int) -> Traffic:
    table = Accounts()
    table.open(accounts)
    return Traffic(requests, Prompts([""], Ragged.of([])), table, np.zeros(len(requests), np.int32))


def state_of(prepared, accounts: int) -> AdmissionState:
    table = Accounts()
    table.open(accounts)
    return AdmissionState(Ledger(), {}, table, Prices(), prepared=prepared)


def test_every_measure_of_a_campaign_is_explained():
    text = (ROOT / "docs" / "measures.md").read_text()
    missing = {key.measure for key in measures(campaign())} - set(re.findall(r"`([\w-]+)`", text))
    assert not missing
