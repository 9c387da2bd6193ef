from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import configs
from configs.build import build
from configs.errors import ConfigError
from defenses.admission.linking.incidence import incidence
from defenses.admission.linking.sybilrank import SybilRank, flow_of, trust
from defenses.base import Defense
from teacher.api.clock import DAY
from tests.defenses.admission.linking.linked import HOUR, batch, state, traffic, watched

CONFIG = Path(configs.__file__).parent / "defense" / "sybilrank.yaml"
SETS = st.dictionaries(st.integers(0, 9), st.sets(st.integers(0, 7), min_size=1, max_size=5), min_size=1)
NOBODY = 2**31 - 1


def flow_and_matrix(sets):
    account, key = np.array([(a, t) for a, tokens in sets.items() for t in tokens], np.int64).T
    index = incidence(account, key, NOBODY)
    ids = sorted(sets)
    holders = {t: [a for a in sets if t in sets[a]] for t in range(8)}
    dense = np.array(
        [[sum(1 / np.log(len(holders[t])) for t in sets[a] & sets[b]) if a != b else 0.0 for b in ids] for a in ids]
    )
    return flow_of(index, 1.0 / np.log(index.frequency)), dense


@given(SETS, st.integers(0, 9), st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_trust_is_that_of_the_written_out_graph(sets, seed, steps):
    flow, dense = flow_and_matrix(sets)
    degree = dense.sum(axis=1)
    np.testing.assert_allclose(flow.degree, degree, atol=1e-12)
    seeds = np.random.default_rng(seed).random(len(degree)) < 0.5
    joined = degree > 0
    if not (seeds & joined).any():
        return
    held = (seeds & joined) / (seeds & joined).sum()
    for _ in range(steps):  # equation 1, node by node
        held = np.array(
            [sum(dense[u, v] * held[u] / degree[u] for u in np.flatnonzero(joined)) for v in range(len(held))]
        )
    assert held.sum() == pytest.approx(1.0)
    found = trust(flow, seeds, steps)
    np.testing.assert_array_equal(np.isnan(found), ~joined)
    np.testing.assert_allclose(found[joined], held[joined] / degree[joined] * degree.sum(), atol=1e-9)


def test_for_ever_is_even_in_a_connected_graph():
    flow, _ = flow_and_matrix({a: {a % 3, 3 + a % 4} for a in range(10)})
    np.testing.assert_allclose(trust(flow, np.arange(10) == 0, 500), 1.0, atol=1e-9)


def town(members, offset=0, network=0, seed=0):
    """Accounts that were seen on three of thirty networks each: one well-connected region."""
    rng = np.random.default_rng(seed)
    return [(600.0, offset + m, 0, network + int(n)) for m in range(members) for n in rng.choice(30, 3, replace=False)]


def fitted(detector, **columns):
    at = state(200, **columns)
    at.accounts.verified_until[:40] = 30 * DAY
    return detector.fit(traffic(at, batch(town(200, seed=9))), None, np.random.default_rng(0))


def region(prepared, bridge=()):
    """200 honest accounts, some verified, and 60 false ones that meet them only on ``bridge``."""
    at = state(300, prepared)
    at.accounts.verified_until[:40] = 30 * DAY
    rows = town(200) + town(60, 200, 1000, 1) + [(700.0, 200 + m, 0, n) for m, n in bridge]
    return at, batch(rows)


@pytest.mark.parametrize("bridge", [(), ((0, 3), (1, 17))])
def test_a_false_region_with_few_edges_gets_little_trust(bridge):
    detector = SybilRank()
    at, requests = region(fitted(detector), bridge)
    found = detector.examine(watched(detector, at, requests), HOUR)
    false = found.account >= 200
    assert len(found.account) == 260
    assert found.score[false].min() > np.quantile(found.score[~false], 0.9)
    assert found.alarm[false].mean() > 0.9
    assert found.alarm[~false].mean() < 0.05
    assert ((found.score >= 0) & (found.score <= 1)).all()
    assert len(np.unique(found.cluster[false & found.alarm])) == 1
    np.testing.assert_array_equal(found.cluster >= 0, found.alarm)
    if not bridge:
        np.testing.assert_array_equal(found.score[false], 1.0)


def test_alarms_that_share_nothing_are_clusters_of_their_own():
    detector = SybilRank()
    at, requests = region(fitted(detector))
    watched(detector, at, requests)
    at.accounts.open(40)
    watched(detector, at, batch(town(40, 300, 2000, 2)))
    found = detector.examine(at, HOUR)
    assert len({*found.cluster[(found.account >= 200) & (found.account < 300)].tolist()}) == 1
    assert len({*found.cluster[found.account >= 200].tolist()}) == 2


def test_where_nobody_is_verified_the_oldest_organisations_are_trusted():
    opened = np.where(np.arange(260) < 20, 0.0, DAY)
    detector = SybilRank(oldest=20 / 260)
    at = state(260, {"threshold": fitted(detector)["threshold"]}, created=opened)
    watched(detector, at, batch(town(200) + town(60, 200, 1000, 1)))
    found = detector.examine(at, HOUR)
    np.testing.assert_array_equal(found.score[200:], 1.0)
    assert found.score[:200].max() < 1
    at.accounts.verified_until[200] = 2 * DAY  # somebody is now, in the other region
    watched(detector, at, batch([(800.0, 0, 0, 0), (800.0, 200, 0, 1000)]))
    turned = detector.examine(at, 2 * HOUR)
    assert turned.score[turned.account == 0] == 1.0
    assert turned.score[turned.account == 200] < 1.0


def test_a_check_that_has_run_out_and_a_banned_account_carry_no_trust():
    detector = SybilRank()
    at = state(100, {"threshold": fitted(detector)["threshold"]}, created=np.arange(100) * 60.0)
    at.accounts.verified_until[:2] = (100.0, 2 * DAY)
    at.accounts.ban(np.array([1]))
    trusted = detector._trusted(at.accounts, np.arange(100, dtype=np.int32), HOUR)
    assert np.flatnonzero(trusted).tolist() == [0, 2, 3, 4]
    assert np.flatnonzero(detector._trusted(at.accounts, np.arange(100, dtype=np.int32), 50.0)).tolist() == [0]


def test_small_components_are_not_judged():
    detector = SybilRank()
    at = state(40, fitted(detector))
    found = detector.examine(watched(detector, at, batch([(1.0, a, 0, a // 10) for a in range(40)])), HOUR)
    assert len(found.account) == 0


def test_many_honest_groups_without_a_trusted_account_make_it_blind():
    """What the docstring warns of."""
    detector = SybilRank()
    at = state(200)
    at.accounts.verified_until[:5] = DAY
    rows = [(600.0, a, 0, a // 25) for a in range(200)]
    assert float(detector.fit(traffic(at, batch(rows)), None, np.random.default_rng(0))["threshold"][0]) == 1.0


def test_nobody_watched_nobody_suspected():
    detector = SybilRank()
    assert len(detector.examine(state(1, fitted(detector)), 0.0).account) == 0


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_bad_values_are_refused(value):
    with pytest.raises(ConfigError, match="oldest"):
        SybilRank(oldest=value)


def test_the_yaml_has_the_defaults():
    assert build(OmegaConf.load(CONFIG).sybilrank, Defense, "defense.sybilrank") == SybilRank()
