from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import chisquare

from attacks.accounts.evasion import Evasion
from attacks.accounts.operation import Operation


def evasion(providers=1, seed=0, **fields):
    return Evasion(Operation(**fields), providers, np.random.default_rng(seed))


def test_who_does_not_look_has_one_way():
    found = evasion(providers=3, templates=7, pacing="diurnal", share=0.4)
    assert found.arms == [(7, "diurnal", 0.4, 0)]
    assert (found.choose(50, np.zeros(50, int), 10.0, True) == 0).all()


def test_who_looks_has_every_way_once_and_his_own_first():
    for own in ({}, {"templates": 30, "pacing": "poisson", "share": 0.25}):
        found = evasion(evasion=True, displacement=0.5, providers=2, **own)
        ways = {arm[:3] for arm in found.arms}
        every = set(itertools.product(Evasion.TEMPLATES, Evasion.PACINGS, Evasion.SHARES))
        assert every <= ways
        assert len(found.arms) == len(set(found.arms)) == 2 * len(ways)
        assert found.arms[0][:3] == (own.get("templates", 100), "poisson", 0.25)


def test_ways_are_tried_evenly_until_the_budget_is_spent():
    found = evasion(evasion=True, probe_budget=100)
    nothing = np.zeros(0, int)
    found.learn(nothing, np.zeros(0, bool), 1.0, 99)
    tried = np.bincount(found.choose(27_000, np.zeros(27_000, int), 10.0, False), minlength=len(found.arms))
    assert chisquare(tried).pvalue > 1e-3
    found.learn(nothing, np.zeros(0, bool), 1.0, 1)
    followed = np.bincount(found.choose(27_000, np.zeros(27_000, int), 10.0, False), minlength=len(found.arms))
    assert chisquare(followed).pvalue < 1e-6


def live(found, hazard, epochs, accounts, rng, days_left=20.0):
    """Accounts that are replaced as they are lost, at a hazard a day that depends on the arm; the arms in use at the end."""
    at = np.zeros(accounts, int)
    arm = found.choose(accounts, at, days_left, False)
    for _ in range(epochs):
        lost = rng.random(accounts) < -np.expm1(-hazard[arm])
        found.learn(arm, lost, 1.0, 1000)
        arm = arm.copy()
        arm[lost] = found.choose(int(lost.sum()), at[lost], days_left, True)
    return arm


@pytest.mark.parametrize("seed", range(3))
def test_the_way_that_is_worth_most_is_found(seed):
    rng = np.random.default_rng(seed)
    found = evasion(evasion=True, probe_budget=5_000, seed=seed)
    hazard = np.full(len(found.arms), 1.5)
    best = next(i for i, arm in enumerate(found.arms) if arm[:3] == (30, "diurnal", 0.25))
    hazard[best] = 0.02
    live(found, hazard, 30, 300, rng)
    chosen = np.bincount(found.choose(1000, np.zeros(1000, int), 20.0, True), minlength=len(found.arms))
    assert chosen.argmax() == best
    assert chosen[best] > 500


def test_exchanges_count_and_not_days():
    """Two ways live as long; the one with ten times the share is worth ten times as much."""
    found = evasion(evasion=True, probe_budget=0)
    arms = np.repeat(np.arange(len(found.arms)), 400)
    lost = np.arange(len(arms)) % 4 == 0
    found.learn(arms, lost, 1.0, 10**6)
    chosen = {found.arms[i].share for i in found.choose(500, np.zeros(500, int), 5.0, True)}
    assert chosen == {1.0}


def test_what_is_left_of_the_operation_bounds_what_a_long_life_is_worth():
    """One way is lost within a day or so and makes four times as much a day; the other lives for long."""
    found = evasion(evasion=True, probe_budget=0, share=0.25)
    arms = np.repeat(np.arange(len(found.arms)), 4000)
    share = np.array([arm.share for arm in found.arms])[arms]
    found.learn(arms, np.where(share == 1.0, np.arange(len(arms)) % 2 == 0, False), 1.0, 10**6)
    with_days = {
        days: {found.arms[i].share for i in found.choose(300, np.zeros(300, int), days, True)} for days in (1.0, 60.0)
    }
    assert with_days[1.0] == {1.0}
    assert with_days[60.0] == {0.25}


def test_lost_accounts_move_to_where_they_live_longer_and_others_stay():
    found = evasion(providers=3, displacement=0.6)
    arm = np.repeat([0, 1, 2], 500)
    found.learn(arm, np.repeat([True, False, True], 500), 2.0, 0)
    at = np.zeros(5000, int)
    moved = np.array([found.arms[i].provider for i in found.choose(5000, at, 10.0, True)])
    assert set(moved.tolist()) == {0, 1}
    assert abs((moved == 1).mean() - 0.6) < 0.03  # standard error 0.007
    assert (found.choose(5000, at, 10.0, False) == 0).all()
    assert (found.choose(500, np.full(500, 2), 10.0, False) == 2).all()


def test_lost_days_and_requests_are_counted_by_arm():
    found = evasion(evasion=True)
    found.learn(np.array([0, 3, 3, 5]), np.array([True, False, True, False]), 0.5, 40)
    assert found.lost[[0, 3, 5]].tolist() == [1, 1, 0]
    assert found.days[[0, 3, 5]].tolist() == [0.5, 1.0, 0.5]
    assert found.probed == 40
    blind = evasion()
    blind.learn(np.array([0]), np.array([True]), 1.0, 40)
    assert blind.probed == 0
