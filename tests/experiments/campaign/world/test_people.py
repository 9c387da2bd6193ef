"""A drawn population against the statistics that it was drawn from: ``data/population.csv`` and the configuration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from configs.errors import ConfigError
from experiments.campaign.config import figures
from experiments.campaign.config.population import Population
from experiments.campaign.world.hard_negatives import HARD_NEGATIVES
from experiments.campaign.world.homes import CLOUD_NETWORKS, NETWORKS
from experiments.campaign.world.library import library
from experiments.campaign.world.people import draw, profiles
from teacher.api.accounts import Accounts
from teacher.api.clock import DAY
from teacher.api.traffic import GAMMA, PERIODIC, WEIBULL, PromptLists, Streams

LIKELY = 1e-4
"""Least p-value that passes: there are some tens of tests at fixed seeds."""
NAMES = tuple(Population().workloads)
FITTED = tuple(name for name in NAMES if figures.table("population").filter(workload=name)["clients_fitted"].item())


def drawn(seed=0, days=30.0, **fields):
    lists = PromptLists()
    return draw(Population(**fields), library("hashing"), lists, days, 0.01, seed), lists


@pytest.fixture(scope="module")
def everybody():
    return drawn(accounts=30_000)[0]


def of(population, name):
    return np.flatnonzero(population.kind == population.kinds.index(name))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"accounts": 0}, "accounts"),
        ({"requests_per_day": 0.0}, "requests_per_day"),
        ({"requests_per_day": math.inf}, "requests_per_day"),
        ({"age_days": math.nan}, "age_days"),
        ({"hard_negatives": 1.1}, "hard_negatives"),
        ({"periodic": -0.1}, "periodic"),
        ({"new": 2.0}, "new"),
        ({"organisations": -1.0}, "organisations"),
        ({"own_topics": 1.0}, "own_topics"),
        ({"workloads": {"chat_small": -1.0}}, "workloads"),
        ({"workloads": {"chat_small": 0.0}}, "workloads"),
        ({"workloads": {"chat_small": math.inf}}, "workloads"),
        ({"workloads": {}}, "workloads"),
        ({"trough": (5.0, 1.4)}, "trough"),
        ({"trough": (0.5, 2.0)}, "trough"),
        ({"trough": (2.0,)}, "trough"),
        ({"trough": (2.0, math.inf)}, "trough"),
    ],
)
def test_populations_that_cannot_be_are_refused(fields, named):
    with pytest.raises(ConfigError, match=rf"population\.{named}"):
        Population(**fields)


def test_an_unknown_workload_is_met_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'chat_small'"):
        Population(workloads={"chat_smal": 1.0})


def test_every_workload_has_its_share(everybody):
    count = [len(of(everybody, name)) for name in NAMES]
    share = np.array([Population().workloads[name] for name in NAMES])
    assert stats.chisquare(count, share * sum(count)).pvalue > LIKELY


@pytest.mark.parametrize("name", NAMES)
def test_rates_are_lognormal_with_the_fitted_spread(everybody, name):
    sigma = figures.workload(name)["rate_lognormal_sigma"]
    ln = np.log(everybody.senders.rate[of(everybody, name)])
    assert stats.kstest((ln - ln.mean()) / sigma, "norm").pvalue > LIKELY
    assert abs(ln.std() / sigma - 1) < 4.5 / np.sqrt(2 * len(ln))


def test_all_workloads_have_one_mean_rate_and_hard_negatives_their_multiple(everybody):
    """By the median, as the mean of so heavy a tail says nothing: the mean of a lognormal is its median times exp(σ²/2)."""
    level, error = [], []
    for name in everybody.kinds:
        one = next((h for h in HARD_NEGATIVES if h.name == name), None)
        sigma = figures.workload(one.like if one else name)["rate_lognormal_sigma"]
        rate = everybody.senders.rate[of(everybody, name)]
        level.append(np.log(rate).mean() + sigma**2 / 2 - np.log(one.busier if one else 1.0))
        error.append(sigma / np.sqrt(len(rate)))
    common = np.average(level, weights=1 / np.square(error))
    assert (np.abs(level - common) < 4 * np.array(error)).all()
    assert everybody.senders.rate.mean() == pytest.approx(Population().requests_per_day)


def gini(rate):
    rank = np.arange(1, len(rate) + 1)
    return (2 * rank - len(rate) - 1) @ np.sort(rate) / (len(rate) * rate.sum())


def zipf_slope(rate, top=20):
    return -np.polyfit(np.log(np.arange(1, top + 1)), np.log(np.sort(rate)[::-1][:top]), 1)[0]


@pytest.mark.parametrize("name", FITTED)
def test_as_many_clients_as_were_fitted_are_as_unequal(everybody, name):
    """Both figures depend on how many clients there are and vary much between samples of so few. The reported Gini has to
    lie among those of samples of the same size, and the middle one has to be near; of the reported slope we do not know how
    much of the top it was fitted on (here: 20), so a factor of 1.6 is allowed."""
    row = figures.workload(name)
    rate = everybody.senders.rate[of(everybody, name)]
    size = int(row["clients_fitted"])
    samples = rate[: len(rate) // size * size].reshape(-1, size)
    ginis = np.array([gini(sample) for sample in samples])
    assert ginis.min() < row["gini"] < ginis.max()
    assert abs(np.median(ginis) - row["gini"]) < 0.05
    slope = np.median([zipf_slope(sample) for sample in samples])
    assert 1 / 1.6 < slope / row["zipf_slope_top"] < 1.6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("family", ["gamma", "weibull"])
def test_shapes_of_gaps_have_the_fitted_quartiles(everybody, name, family):
    row, rows = figures.workload(name), of(everybody, name)
    rows = rows[everybody.senders.kind[rows] == (GAMMA if family == "gamma" else WEIBULL)]
    assert len(rows) > 150
    for percent in (25, 50, 75):
        below = (everybody.senders.shape[rows] < row[f"{family}_shape_p{percent}"]).mean()
        p = percent / 100
        assert abs(below - p) < 4 * np.sqrt(p * (1 - p) / len(rows)) + 0.011  # the ends of the range are left out


@pytest.mark.parametrize("name", NAMES)
def test_gaps_are_gamma_weibull_or_periodic_in_their_shares(everybody, name):
    kind = everybody.senders.kind[of(everybody, name)]
    periodic = kind == PERIODIC
    assert stats.binomtest(int(periodic.sum()), len(kind), Population().periodic).pvalue > LIKELY
    gamma = (kind[~periodic] == GAMMA).sum()
    assert stats.binomtest(int(gamma), int((~periodic).sum()), figures.workload(name)["gamma_share"]).pvalue > LIKELY


def test_hard_negatives_are_there_in_their_share_and_kinds(everybody):
    assert stats.binomtest(int(everybody.hard.sum()), 30_000, Population().hard_negatives).pvalue > LIKELY
    count = [len(of(everybody, one.name)) for one in HARD_NEGATIVES]
    assert sum(count) == everybody.hard.sum()
    assert stats.chisquare(count).pvalue > LIKELY


@pytest.mark.parametrize("one", HARD_NEGATIVES, ids=lambda one: one.name)
def test_hard_negatives_are_as_described(everybody, one):
    rows, senders = of(everybody, one.name), everybody.senders
    assert everybody.hard[rows].all()
    kind, flat = senders.kind[rows], len(profiles(Population())) - 1
    assert (senders.profile[rows] == flat).all() == one.flat
    if one.period_days:
        assert (kind == PERIODIC).all()
        period, phase, burst, spacing, _ = senders.beat[rows].T
        np.testing.assert_allclose(period, one.period_days * DAY)
        assert one.together == (phase == 0).all()
        assert one.together or stats.kstest(phase / period, "uniform").pvalue > LIKELY
        np.testing.assert_allclose(burst, senders.rate[rows] * one.period_days, rtol=1e-5)
        assert (spacing <= one.spacing).all()
    elif one.shape:
        assert (kind == GAMMA).all()
        assert (senders.shape[rows] == one.shape).all()
    else:  # gaps as of the workload that it is like: shapes that go with their family
        weibull = kind == WEIBULL
        assert (
            stats.binomtest(int((~weibull).sum()), len(rows), figures.workload(one.like)["gamma_share"]).pvalue > LIKELY
        )
        for chosen, family in ((weibull, "weibull"), (~weibull, "gamma")):
            below = (senders.shape[rows[chosen]] < figures.workload(one.like)[f"{family}_shape_p50"]).mean()
            assert abs(below - 0.5) < 2 / np.sqrt(chosen.sum())
    first = np.concatenate([[0], np.cumsum(senders.networks)])
    used = [senders.network[first[row] : first[row + 1]] for row in rows]
    assert {len(networks) for networks in used} == {one.networks}
    low, high = (NETWORKS, NETWORKS + CLOUD_NETWORKS) if one.cloud else (0, NETWORKS)
    assert all(((low <= networks) & (networks < high)).all() for networks in used)


def test_schedules_are_spread_over_their_periods_and_leave_room_for_their_bursts(everybody):
    rows = np.flatnonzero((everybody.senders.kind == PERIODIC) & ~everybody.hard)
    period, phase, burst, _, _ = everybody.senders.beat[rows].T.astype(np.float64)
    assert stats.kstest(phase / period, "uniform").pvalue > LIKELY
    assert (burst > 0.999).all()
    np.testing.assert_allclose(burst * DAY / period, everybody.senders.rate[rows], rtol=1e-5)
    every = everybody.senders.beat[everybody.senders.kind == PERIODIC].astype(np.float64)
    assert (every[:, 2] * every[:, 3] <= 0.5001 * every[:, 0]).all()


def test_days_have_peaks_and_troughs_within_the_range():
    rows = profiles(Population(trough=(1.4, 5.0)))
    ratio = rows.max(1) / rows.min(1)
    np.testing.assert_allclose(rows.mean(1), 1)
    assert ratio[-1] == 1
    assert ratio[:-1].min() == pytest.approx(1.4)
    assert ratio[:-1].max() == pytest.approx(5.0)
    assert np.bincount(rows[:-1].argmax(1)).tolist() == [4] * 24
    level = profiles(Population(trough=(1.0, 1.0)))
    np.testing.assert_allclose(level, 1)


def test_people_live_in_all_time_zones(everybody):
    profile = everybody.senders.profile[~everybody.hard]
    assert stats.chisquare(np.bincount(profile, minlength=96)).pvalue > LIKELY


def test_what_is_asked_has_the_workloads_lengths_and_prompts():
    population, lists = drawn(accounts=2000)
    held, arrays = library("hashing"), lists.arrays
    listed = population.senders.part_list.reshape(-1, 2)
    share = population.senders.part_share.reshape(-1, 2)
    np.testing.assert_allclose(share.sum(1), 1)
    groups = {"chat_small": "chat", "chat_mid": "chat", "chat_large": "chat"}
    for number, name in enumerate(population.kinds):
        rows = np.flatnonzero(population.kind == number)
        one = next((h for h in HARD_NEGATIVES if h.name == name), None)
        row = figures.workload(one.like if one else name)
        expected = [row[f"{what}_ln_{part}"] for what in ("input", "output") for part in ("mu", "sigma")]
        np.testing.assert_allclose(arrays.lengths[listed[rows].ravel()], np.tile(expected, (2 * len(rows), 1)))
        pool = {int(r) for group in (one.groups if one else (groups.get(name, name),)) for r in held.rows(group)}
        for number in np.unique(listed[rows]):
            assert set(arrays.prompts[arrays.offsets[number] : arrays.offsets[number + 1]].tolist()) <= pool
    ordinary = share[~population.hard, 0]
    assert abs(ordinary.mean() - Population().own_topics) < 4.5 * ordinary.std() / np.sqrt(len(ordinary))
    assert len(np.unique(listed[:, 0])) == 2000  # everybody has topics of his own


def test_organisations_stand_together(everybody):
    organisation = everybody.organisation
    assert (np.diff(organisation) >= 0).all()
    assert organisation[0] == 0
    assert np.diff(organisation).max() == 1
    sizes = np.bincount(organisation)
    assert set(sizes[sizes > 1].tolist()) <= set(range(2, 21))
    assert abs(sizes[sizes > 1].sum() / 30_000 - Population().organisations) < 20 / 30_000
    assert drawn(accounts=50, organisations=0.0)[0].organisation.tolist() == list(range(50))
    assert np.bincount(drawn(accounts=300, organisations=1.0)[0].organisation)[:-20].min() >= 2


def test_cards_are_an_organisations_or_ones_own(everybody):
    same = everybody.payment[1:] == everybody.payment[:-1]
    assert (everybody.organisation[1:] == everybody.organisation[:-1])[same].all()
    assert everybody.payment.max() < 1_000_000_000  # attackers' begin there


def test_some_accounts_are_opened_on_the_way():
    population, _ = drawn(accounts=20_000, days=12.0, new=0.2, age_days=100.0)
    new = population.created > 0
    assert stats.binomtest(int(new.sum()), 20_000, 0.2).pvalue > LIKELY
    assert stats.kstest(population.created[new] / (12 * DAY), "uniform").pvalue > LIKELY
    assert stats.kstest(-population.created[~new] / (100 * DAY), "uniform").pvalue > LIKELY
    np.testing.assert_array_equal(population.senders.start, np.maximum(population.created, 0))
    np.testing.assert_allclose(
        population.spend, np.maximum(-population.created, 0) / DAY * population.senders.rate * 0.01
    )


def test_registered_accounts_are_those_that_were_drawn():
    population, _ = drawn(accounts=500)
    table = Accounts()
    assert population.register(table).tolist() == list(range(500))
    for name in ("organisation", "payment", "fingerprint", "created", "spend"):
        np.testing.assert_array_equal(getattr(table, name), getattr(population, name))
    assert table.genuine.all()
    np.testing.assert_array_equal(np.isposinf(table.verified_until), population.created < -30 * DAY)
    first = np.concatenate([[0], np.cumsum(population.senders.networks)[:-1]])
    np.testing.assert_array_equal(table.network, population.senders.network[first])


def test_the_seed_decides_everything():
    one, again, other = (drawn(seed=seed, accounts=400)[0] for seed in (3, 3, 4))
    for name, a, b in zip(one._fields, one, again, strict=True):
        columns = [(f, getattr(a, f), getattr(b, f)) for f in vars(a)] if name == "senders" else [(name, a, b)]
        for column, left, right in columns:
            np.testing.assert_array_equal(left, right, column)
    for name in ("rate", "profile", "key", "network"):
        left, right = getattr(one.senders, name), getattr(other.senders, name)
        assert len(left) != len(right) or (left != right).any()


def test_they_send_what_their_rates_say():
    population, lists = drawn(accounts=3000, requests_per_day=20.0, days=4.0)
    streams = Streams(profiles(Population()), lists)
    rows = streams.add(population.senders)
    count = np.bincount(streams.until(4 * DAY).account, minlength=len(rows))
    days = 4.0 - population.senders.start / DAY
    expected = population.senders.rate * days
    assert abs(count.sum() / expected.sum() - 1) < 0.03
    little = expected < np.quantile(expected, 0.9)  # most accounts, whom the few that send most would hide
    usual = ~population.hard & little
    ratio = count[usual].sum() / expected[usual].sum()
    assert abs(ratio - 1) < 0.06


@pytest.mark.parametrize("accounts", [1, 2, 7])
def test_a_handful_is_a_population_too(accounts):
    population, _ = drawn(accounts=accounts, hard_negatives=1.0, organisations=1.0)
    assert len(population.senders) == accounts
    assert population.senders.rate.mean() == pytest.approx(Population().requests_per_day)
