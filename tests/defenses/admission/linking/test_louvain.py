from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import configs
from configs.build import build
from configs.errors import ConfigError
from defenses.admission.linking.communities import Graph, graph_of, louvain, modularity, within
from defenses.admission.linking.incidence import incidence
from defenses.admission.linking.louvain import Louvain
from defenses.base import Defense
from tests.defenses.admission.linking.linked import HOUR, batch, same_parts, state, traffic, watched

CONFIG = Path(configs.__file__).parent / "defense" / "louvain.yaml"
SETS = st.dictionaries(st.integers(0, 9), st.sets(st.integers(0, 7), min_size=1, max_size=5), min_size=1)


def ours(graph):
    """A networkx graph of nodes 0 .. n - 1 in arrays."""
    rows = [sorted((j, d.get("weight", 1.0)) for j, d in graph[i].items()) for i in range(len(graph))]
    start = np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int64)
    flat = [pair for row in rows for pair in row]
    neighbour = np.array([j for j, _ in flat], np.int32)
    return Graph(start, neighbour, np.array([w for _, w in flat], float), np.zeros(len(graph)))


def parts_of(label):
    return [set(np.flatnonzero(label == c).tolist()) for c in np.unique(label)]


@given(st.integers(2, 12), st.floats(0.1, 0.9), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_modularity_is_networkx_s(nodes, share, seed):
    graph = nx.gnp_random_graph(nodes, share, seed=seed)
    rng = np.random.default_rng(seed)
    for _, _, data in graph.edges(data=True):
        data["weight"] = float(rng.uniform(0.1, 3))
    if not graph.number_of_edges():
        assert modularity(ours(graph), np.zeros(nodes, int)) == 0.0
        return
    for label in (rng.integers(3, size=nodes), louvain(ours(graph))):
        wanted = nx.community.modularity(graph, parts_of(label))
        assert modularity(ours(graph), label) == pytest.approx(wanted)
    inside = within(ours(graph), label)
    for c in np.unique(label):
        assert inside[c] == pytest.approx(graph.subgraph(np.flatnonzero(label == c)).size("weight"))


@pytest.mark.parametrize(
    "graph",
    [
        nx.karate_club_graph(),
        nx.convert_node_labels_to_integers(nx.les_miserables_graph()),
        nx.planted_partition_graph(8, 25, 0.4, 0.02, seed=3),
        nx.convert_node_labels_to_integers(nx.davis_southern_women_graph()),
        nx.powerlaw_cluster_graph(300, 3, 0.5, seed=4),
    ],
    ids=["karate", "miserables", "planted", "women", "powerlaw"],
)
def test_is_as_good_as_networkx(graph):
    theirs = [nx.community.modularity(graph, nx.community.louvain_communities(graph, seed=s)) for s in range(8)]
    label = louvain(ours(graph))
    assert modularity(ours(graph), label) >= np.mean(theirs) - 0.02
    assert label[0] == 0
    assert label.max() + 1 == len(np.unique(label))


def test_cliques_on_a_ring_are_communities():
    graph = nx.ring_of_cliques(8, 6)
    label = louvain(ours(graph))
    assert same_parts(label, [range(6 * c, 6 * c + 6) for c in range(8)])


def test_without_edges_everyone_is_alone():
    graph = ours(nx.empty_graph(5))
    assert louvain(graph).tolist() == [0, 1, 2, 3, 4]
    assert louvain(ours(nx.empty_graph(0))).tolist() == []
    assert within(graph, np.arange(5)).tolist() == [0.0] * 5


@given(SETS, st.integers(2, 8))
@settings(max_examples=50, deadline=None)
def test_the_graph_joins_who_shares_tokens_by_their_weights(sets, most):
    account, key = np.array([(a, t) for a, tokens in sets.items() for t in tokens], np.int64).T
    index = incidence(account, key, most)
    graph = graph_of(index, 1.0 / np.log(index.frequency))
    holders = {t: [a for a in sets if t in sets[a]] for t in range(8)}
    ids = sorted(sets)
    for i, a in enumerate(ids):
        wanted = {}
        for j, b in enumerate(ids):
            common = [t for t in sets[a] & sets[b] if len(holders[t]) <= most]
            if a != b and common:
                wanted[j] = sum(1 / np.log(len(holders[t])) for t in common)
        edges = slice(graph.start[i], graph.start[i + 1])
        found = dict(zip(graph.neighbour[edges].tolist(), graph.weight[edges].tolist(), strict=True))
        assert found == pytest.approx(wanted)


def test_the_number_of_threads_changes_nothing():
    rng = np.random.default_rng(0)
    index = incidence(np.repeat(np.arange(20_000), 8), rng.integers(8000, size=160_000), 400)
    assert len(index.token) > 100_000
    worth = 1.0 / np.log(index.frequency)
    for a, b in zip(graph_of(index, worth, 1), graph_of(index, worth, 2), strict=True):
        np.testing.assert_array_equal(a, b)


def crew(members, offset=0, network=0):
    """Accounts that go through six of ten networks each."""
    return [(60.0 * h, offset + m, 0, network + (m + h) % 10) for m in range(members) for h in range(6)]


def honest(members, offset=0):
    """Offices of three."""
    return [(600.0, offset + m, 0, 5000 + m // 3) for m in range(members)]


def fitted(detector, rows=None, members=300):
    at = state(members)
    return detector.fit(traffic(at, batch(rows or honest(members))), None, np.random.default_rng(0))


def test_finds_two_crews_as_two_communities_and_nobody_else():
    detector = Louvain()
    at = state(400, fitted(detector))
    found = detector.examine(watched(detector, at, batch(crew(40) + crew(30, 40, 100) + honest(300, 70))), HOUR)
    assert found.account[found.alarm].tolist() == list(range(70))
    assert same_parts(found.cluster[:70], [range(40), range(40, 70)])
    assert (found.cluster[70:] == -1).all()
    degree = 6 * 23 / np.log(24)  # each of ten networks has 24 of the 40
    np.testing.assert_allclose(found.score[:40], 1 + degree / 2)
    np.testing.assert_allclose(found.score[70:], (1 / np.log(3)) / (1 + 1 / np.log(3)))


def test_large_honest_offices_raise_the_threshold():
    offices = [(600.0, m, 0, 5000 + m // 30) for m in range(300)]
    detector = Louvain()
    lenient, strict = fitted(detector, offices), fitted(detector)
    assert float(strict["threshold"][0]) == 1.0
    assert float(lenient["threshold"][0]) == pytest.approx(1 + 29 / 2 / np.log(30))
    for prepared, alarms in ((lenient, 0), (strict, 300)):
        at = watched(detector, state(300, prepared), batch(offices))
        assert detector.examine(at, HOUR).alarm.sum() == alarms


def test_a_few_accounts_are_nothing():
    detector = Louvain()
    at = state(10, fitted(detector))
    found = detector.examine(watched(detector, at, batch(crew(10))), HOUR)
    assert len(found.account) == 10
    assert not found.alarm.any()
    assert (found.score < 1).all()
    assert len(detector.examine(state(1, at.prepared), 0.0).account) == 0


def test_too_few_accounts_for_the_rate():
    with pytest.raises(ConfigError, match="at least 999 accounts"):
        fitted(Louvain(false_alarms=0.001))


def test_the_threshold_is_the_smallest_that_keeps_the_rate():
    """Of 300 accounts and the one to come: 20 of 301 may be over only if that one is counted among the 20."""
    rows = honest(210) + [(600.0, 210 + m, 0, 9000 + m // 30) for m in range(90)]
    few = honest(280) + [(600.0, 280 + m, 0, 9000) for m in range(20)]
    at = {share: float(fitted(Louvain(false_alarms=share), few)["threshold"][0]) for share in (0.05, 20 / 301, 0.07)}
    dense = 1 + 19 / 2 / np.log(20)
    assert at[0.05] == pytest.approx(dense)
    assert at[20 / 301] == pytest.approx(dense)
    assert at[0.07] == 1.0
    assert float(fitted(Louvain(), rows)["threshold"][0]) == pytest.approx(1 + 29 / 2 / np.log(30))


def test_the_yaml_has_the_defaults():
    assert build(OmegaConf.load(CONFIG).louvain, Defense, "defense.louvain") == Louvain()
