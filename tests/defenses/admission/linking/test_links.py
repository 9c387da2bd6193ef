import itertools

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from defenses.admission.linking.actions import KINDS, Noted, Sightings, keys_of
from defenses.admission.linking.incidence import incidence
from defenses.admission.linking.linker import Linker
from defenses.admission.linking.links import edges_of, link
from defenses.admission.linking.louvain import Louvain
from tests.defenses.admission.linking.linked import HOUR, batch, pairs, same_parts, state, watched

SETS = st.dictionaries(st.integers(0, 14), st.sets(st.integers(0, 12), min_size=1, max_size=8), min_size=1)


def flat(sets, rng=None):
    rows = [(a, 1000003 * t - 5) for a, tokens in sets.items() for t in tokens]
    rows += rows[::2]
    if rng is not None:
        rng.shuffle(rows)
    account, key = np.array(rows, np.int64).T
    return account, key


def crowd(accounts, seed=0):
    """Accounts in groups of 40 that keep most of the group's 30 tokens and have 10 of their own making."""
    rng = np.random.default_rng(seed)
    schedule = rng.integers(1_000_000, size=(accounts // 40 + 1, 30))
    sets = {}
    for a in range(accounts):
        common = schedule[a // 40][rng.random(30) < 0.8]
        sets[a] = {*common.tolist(), *rng.integers(300, size=10).tolist()}
    return sets


@given(SETS, st.integers(2, 6), st.sampled_from([0.1, 0.25, 0.5, 1.0]), st.integers(1, 4), st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_links_are_those_of_the_definition(sets, most, jaccard, shared, seed):
    index = incidence(*flat(sets, np.random.default_rng(seed)), most)
    links = link(index, jaccard, shared)
    graph, kept = pairs(sets, most, jaccard, shared)
    ids = sorted(sets)
    assert index.account.tolist() == ids
    assert index.size.tolist() == [len(kept[a]) for a in ids]
    assert same_parts(links.component, [{ids.index(a) for a in part} for part in nx.connected_components(graph)])
    assert links.links.tolist() == [graph.degree(a) for a in ids]
    for row, a in enumerate(ids):
        near = [0.0]
        for b in ids:
            both, either = len(kept[a] & kept[b]), len(kept[a] | kept[b])
            if b != a and both:
                near.append(min(both / either / jaccard, both / shared, 1.0))
        assert links.best[row] == pytest.approx(max(near))
        assert (links.links[row] > 0) == bool(graph.degree(a))


@given(SETS, st.integers(2, 6))
@settings(max_examples=60, deadline=None)
def test_the_index_holds_what_two_or_more_have_in_both_orders(sets, most):
    index = incidence(*flat(sets), most)
    ids = sorted(sets)
    holders = {t: [i for i, a in enumerate(ids) if t in sets[a]] for t in set().union(*sets.values())}
    wanted = sorted(rows for rows in holders.values() if 2 <= len(rows) <= most)
    posted = [index.row[a:b].tolist() for a, b in itertools.pairwise(index.token_start)]
    assert sorted(posted) == wanted
    assert index.frequency.tolist() == [len(rows) for rows in posted]
    for i in range(len(ids)):
        for e in range(index.start[i], index.start[i + 1]):
            rows = posted[index.token[e]]
            assert index.after[e] - index.token_start[index.token[e]] == rows.index(i) + 1


def test_nothing_to_index_gives_nothing():
    index = incidence(np.zeros(0, np.int32), np.zeros(0, np.int64), 400)
    links = link(index, 0.25, 5)
    assert len(index.account) == len(links.component) == len(links.best) == 0
    assert len(edges_of(index, np.zeros(0, np.int64), 0.25, 5, 0, 10).a) == 0


def test_the_number_of_threads_changes_nothing():
    account, key = flat(crowd(4000))
    index = incidence(account, key, 400)
    assert len(index.token) > 100_000
    one, two, three = (link(index, 0.25, 5, threads) for threads in (1, 2, 3))
    for other in (two, three):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    assert np.bincount(one.component).tolist() == [40] * 100


def test_edges_are_all_links_or_a_sample_of_the_size_asked_for():
    sets = crowd(200)
    index = incidence(*flat(sets), 400)
    links = link(index, 0.25, 5)
    graph, _ = pairs(sets, 400, 0.25, 5)
    members = np.arange(200)
    count = int(links.links.sum()) // 2
    every = edges_of(index, members, 0.25, 5, count, 10**6)
    assert {(int(a), int(b)): w for a, b, w in zip(*every, strict=True)} == pytest.approx(
        {(a, b): w for a, b, w in graph.edges(data="weight")}
    )
    some = edges_of(index, members[::-1], 0.25, 5, count, 500)
    assert 400 < len(some.a) <= 500 < count
    assert set(zip(*some, strict=True)) <= set(zip(*every, strict=True))
    assert len(np.unique(np.concatenate([some.a, some.b]))) > 190


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(-3, 3), st.integers(0, 6)), max_size=40),
    st.booleans(),
    st.integers(0, 7),
    st.integers(0, 40),
)
@settings(max_examples=60, deadline=None)
def test_sightings_are_distinct_and_forget(rows, timed, oldest, cut):
    kept = Sightings(timed)
    for part in (rows[:cut], rows[cut:]):
        account, value, slot = np.array(part, np.int64).reshape(-1, 3).T
        kept.add(account.astype(np.int32), value.astype(np.int32), slot.copy())
    noted, fresh = kept.recall(oldest)
    recent = {row for row in rows if row[2] >= oldest}
    if not timed:
        recent = {(a, v, max(s for x, y, s in recent if (x, y) == (a, v))) for a, v, _ in recent}
    assert sorted(zip(*(column.tolist() for column in noted), strict=True)) == sorted(recent)
    assert fresh.tolist() == sorted({row[0] for row in rows})
    again, nobody = kept.recall(oldest)
    assert sorted(zip(*(column.tolist() for column in again), strict=True)) == sorted(recent)
    assert len(nobody) == 0


def test_keys_tell_kinds_grids_buckets_and_values_apart():
    values = np.array([-(2**31), -1, 0, 1, 2**31 - 1], np.int32)
    keys = [
        keys_of(Noted(values, values, np.full(5, slot)), kind, grid)
        for kind in range(len(KINDS))
        for grid, slot in [(None, 7), (0, 4), (0, 6), (1, 4), (1, 6)]
    ]
    everything = np.concatenate(keys)
    # A key without time is that of bucket 0 of the first grid, and the two are never mixed.
    assert len(np.unique(everything)) == len(everything)


def test_neighbouring_slots_share_a_bucket_in_exactly_one_grid():
    slot = np.arange(-20, 20)
    one = np.zeros(40, np.int32)
    grids = [keys_of(Noted(one, one, slot), 0, grid) for grid in (0, 1)]
    same = np.array([g[:-1] == g[1:] for g in grids])
    assert (same.sum(axis=0) == 1).all()
    assert not any((g[:-2] == g[2:]).any() for g in grids)


def sharing(kind):
    """Two accounts that have only ``kind`` in common, and an empty one; and what they do."""
    columns = {
        "payment": np.array([7, 7 if kind == "payment" else 8, 9]),
        "network": np.array([0, 0, 0]),
        "fingerprint": np.array([4, 4 if kind == "fingerprint" else 5, 6]),
    }
    network = {"network": (130, 130), "asn": (130, 131)}.get(kind, (130, 999))
    prompt = (5, 5 if kind == "template" else 6)
    return state(3, **columns), batch([(10.0, a, prompt[a], network[a]) for a in (0, 1)])


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "release"])
@pytest.mark.parametrize("asked", [k for k in KINDS if k != "release"])
def test_each_kind_sees_what_it_is_for_and_nothing_else(kind, asked):
    at, requests = sharing(kind)
    detector = Louvain(constraints=(asked,))
    account, key, fresh = detector.tokens(watched(detector, at, requests), 20.0)
    assert sorted(account.tolist()) == fresh.tolist() == [0, 1]
    wide = kind == "network" and asked == "asn"
    assert (key[0] == key[1]) == (kind == asked or wide)


def test_the_account_s_own_network_stands_in_where_requests_name_none():
    at = state(3, network=np.array([5, 5, 6]))
    requests = batch([(1.0, a, 0, 0) for a in range(3)])
    object.__setattr__(requests, "network", None)
    detector = Louvain()
    _, key, _ = detector.tokens(watched(detector, at, requests), 2.0)
    assert key[0] == key[1] != key[2]


def test_what_is_older_than_the_memory_is_forgotten():
    detector = Louvain(memory_hours=2.0)
    at = watched(detector, state(3), batch([(0.5 * HOUR, 0, 0, 1), (2.5 * HOUR, 1, 0, 1)]))
    assert detector.tokens(at, 2.4 * HOUR).account.tolist() == [0, 1]
    assert detector.tokens(at, 3.1 * HOUR).account.tolist() == [1]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("constraints", ()),
        ("constraints", ("networks",)),
        ("constraints", ("network", "network")),
        ("constraints", ("release",)),
        ("memory_hours", 0.0),
        ("least", 1),
        ("false_alarms", 0.0),
        ("false_alarms", 1.0),
        ("every_hours", 0.0),
        ("max_frequency", 1),
    ],
)
def test_bad_values_are_refused(field, value):
    with pytest.raises(ConfigError, match=field):
        Louvain(**{field: value})


def test_the_nearest_kind_is_suggested():
    with pytest.raises(ConfigError, match="did you mean 'network'"):
        Linker(constraints=("netwrok",))
