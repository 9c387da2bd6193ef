import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import configs
from configs.build import build
from configs.errors import ConfigError
from defenses.admission.linking.fraudar import Fraudar, densest, weights
from defenses.admission.linking.incidence import incidence
from defenses.base import Defense
from tests.defenses.admission.linking.linked import HOUR, batch, state, traffic, watched

CONFIG = Path(configs.__file__).parent / "defense" / "fraudar.yaml"
EDGES = st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1)
NOBODY = 2**31 - 1


def index_of(edges):
    account, key = np.array(sorted(edges), np.int64).T
    return incidence(account, key, NOBODY)


def edges_in(index):
    owner = np.repeat(np.arange(len(index.account)), np.diff(index.start))
    return list(zip(owner.tolist(), index.token.tolist(), strict=True))


def density(edges, weight, rows, tokens):
    mass = sum(weight[t] for a, t in edges if a in rows and t in tokens)
    return mass / (len(rows) + len(tokens))


def best_of_all(edges, weight, accounts, tokens, least):
    best = 0.0
    for size in range(least, len(accounts) + 1):
        for rows in itertools.combinations(accounts, size):
            # Of each token what it adds is known once the accounts are: the best set of k tokens is the heaviest k.
            mass = sorted((sum(weight[t] for a, u in edges if u == t and a in rows) for t in tokens), reverse=True)
            for k in range(len(tokens) + 1):
                best = max(best, sum(mass[:k]) / (size + k))
    return best


@given(EDGES, st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_at_least_half_of_the_best_and_what_it_says_of_itself_is_true(edges, least):
    index = index_of(edges)
    weight = weights(index)
    block = densest(index, weight, np.ones(len(index.account), bool), least)
    inside = edges_in(index)
    best = best_of_all(inside, weight, range(len(index.account)), range(len(weight)), least)
    assert block.density >= best / (2 if least == 1 else 3) - 1e-12
    assert block.density <= best + 1e-12
    if best == 0.0:
        assert len(block.rows) == 0
        return
    assert len(block.rows) >= least
    found = density(inside, weight, set(block.rows.tolist()), set(block.tokens.tolist()))
    assert block.density == pytest.approx(found)


def peeled(edges, weight, accounts, tokens):
    """Algorithm 1 by definition; the best density, or None where a tie left a choice."""
    rows, columns, best, tie = set(accounts), set(tokens), 0.0, False
    while rows or columns:
        best = max(best, density(edges, weight, rows, columns))
        value = {("a", a): sum(weight[t] for b, t in edges if b == a and t in columns) for a in rows}
        value |= {("t", t): sum(weight[t] for a, u in edges if u == t and a in rows) for t in columns}
        low = min(value.values())
        lowest = [node for node, v in value.items() if v <= low + 1e-12]
        tie |= len(lowest) > 1 and low > 1e-12
        kind, node = lowest[0]
        (rows if kind == "a" else columns).remove(node)
    return None if tie else best


@given(EDGES, st.lists(st.floats(0.1, 3.0), min_size=6, max_size=6, unique=True))
@settings(max_examples=60, deadline=None)
def test_peels_as_the_algorithm_says(edges, drawn):
    index = index_of(edges)
    weight = np.array(drawn[: len(index.frequency)])
    wanted = peeled(edges_in(index), weight, range(len(index.account)), range(len(weight)))
    found = densest(index, weight, np.ones(len(index.account), bool)).density
    if wanted is not None:
        assert found == pytest.approx(wanted)


def test_a_complete_block_has_the_density_of_the_closed_form():
    edges = {(a, t) for a in range(20) for t in range(6)} | {(20 + a, 6 + a // 2) for a in range(40)}
    index = index_of(edges)
    block = densest(index, weights(index), np.ones(60, bool))
    assert block.density == pytest.approx(20 * 6 / np.log(25) / 26)
    assert block.rows.tolist() == list(range(20))
    assert len(block.tokens) == 6
    rest = np.ones(60, bool)
    rest[block.rows] = False
    second = densest(index, weights(index), rest)
    assert second.density == pytest.approx(2 / np.log(7) / 3)


def test_camouflage_does_not_thin_a_block_out():
    """Theorem 2: edges to honest tokens leave what is found no less dense."""
    rng = np.random.default_rng(0)
    plain = {(a, t) for a in range(20) for t in range(8)}
    honest = {
        (int(a), 100 + int(t)) for a, t in zip(rng.integers(20, 200, 400), rng.integers(60, size=400), strict=True)
    }
    hidden = {(a, 100 + int(t)) for a in range(20) for t in rng.integers(60, size=10)}
    for extra in (set(), hidden):
        index = index_of(plain | honest | extra)
        block = densest(index, weights(index), np.ones(len(index.account), bool))
        assert set(range(20)) <= set(index.account[block.rows].tolist())
        assert block.density >= 20 * 8 / np.log(25) / 28 - 1e-9


@given(EDGES)
@settings(max_examples=60, deadline=None)
def test_cores_are_those_of_the_definition(edges):
    index = index_of(edges)
    weight = weights(index)
    inside = edges_in(index)
    accounts, tokens = range(len(index.account)), range(len(weight))
    core = densest(index, weight, np.ones(len(accounts), bool)).core
    for k in sorted({0.0, *core.tolist(), *(core / 2).tolist(), *(core + 0.01).tolist()}):
        rows, columns = set(accounts), set(tokens)
        while True:  # what is left when everything with less than k is taken away
            low = {a for a in rows if sum(weight[t] for b, t in inside if b == a and t in columns) < k - 1e-9}
            poor = {t for t in columns if sum(weight[t] for a, u in inside if u == t and a in rows) < k - 1e-9}
            if not low and not poor:
                break
            rows, columns = rows - low, columns - poor
        assert rows == {a for a in accounts if core[a] >= k - 1e-9}


def crew(members, offset=0, value=0):
    """Accounts that go through the same eight networks, one prompt each."""
    return [(60.0 * h, offset + m, 500 + (offset + m) % 400, value + h) for m in range(members) for h in range(8)]


def honest(members, offset, rng):
    """Two each from a network of an office, any prompt."""
    return [
        (float(rng.uniform(0, HOUR)), offset + m, int(rng.integers(400)), 5000 + m // 3)
        for m in range(members)
        for _ in range(4)
    ]


def fitted(detector, members=300):
    at = state(members)
    rows = honest(members, 0, np.random.default_rng(5))
    return detector.fit(traffic(at, batch(rows)), None, np.random.default_rng(0))


def test_finds_two_crews_as_two_clusters_and_nobody_else():
    detector = Fraudar()
    at = state(400, fitted(detector))
    rows = crew(40) + crew(30, 40, 100) + honest(300, 70, np.random.default_rng(1))
    found = detector.examine(watched(detector, at, batch(rows)), HOUR)
    guilty = found.account[found.alarm]
    assert set(range(70)) == set(guilty.tolist())
    assert len(np.unique(found.cluster[found.account < 40])) == 1
    assert len(np.unique(found.cluster[found.account < 70])) == 2
    threshold = float(at.prepared["threshold"][0])
    np.testing.assert_array_equal(found.alarm, found.score > threshold)
    assert (found.score[found.cluster < 0] < 1).all()


def test_honest_accounts_stay_within_the_rate_it_was_fitted_for():
    detector = Fraudar(false_alarms=0.05)
    at = state(300, fitted(detector))
    found = detector.examine(watched(detector, at, batch(honest(300, 0, np.random.default_rng(5)))), HOUR)
    assert found.alarm.mean() <= 0.05


def test_a_few_accounts_are_nothing():
    detector = Fraudar()
    at = state(10, fitted(detector))
    found = detector.examine(watched(detector, at, batch(crew(10))), HOUR)
    assert not found.alarm.any()
    assert len(detector.examine(at, HOUR).account) == 0
    assert len(detector.examine(state(1, at.prepared), 0.0).account) == 0


def test_needs_enough_accounts_and_a_fit():
    with pytest.raises(ConfigError, match="at least 99 accounts to be fitted, and here are 60"):
        fitted(Fraudar(), 60)
    with pytest.raises(ConfigError, match="fitted first"):
        Fraudar().examine(state(1), 0.0)
    with pytest.raises(ConfigError, match="blocks"):
        Fraudar(blocks=0)


def test_the_yaml_has_the_defaults():
    assert build(OmegaConf.load(CONFIG).fraudar, Defense, "defense.fraudar") == Fraudar()
