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
from defenses.admission.linking import linker
from defenses.admission.linking.linker import FOUND, Linker
from defenses.base import Defense
from teacher.api.clock import DAY
from teacher.api.schema import FORBIDDEN
from tests.defenses.admission.linking.linked import HOUR, batch, pairs, state, traffic, watched

CONFIG = Path(configs.__file__).parent / "defense" / "linker.yaml"
ROWS = st.lists(
    st.tuples(st.integers(0, 5 * 3600), st.integers(0, 7), st.integers(0, 3), st.integers(60, 67)),
    min_size=1,
    max_size=60,
)


def tokens_of(rows, at, constraints, bucket, releases):
    """Account -> tokens, from the definition in Linker's docstring."""
    found = {}
    for time, account, prompt, network in rows:
        values = {
            "template": prompt,
            "payment": int(at.accounts.payment[account]),
            "network": network,
            "asn": network // 64,
            "fingerprint": int(at.accounts.fingerprint[account]),
        }
        for number, day in enumerate(releases):
            if day * DAY <= time < day * DAY + DAY:
                values["release"] = number
        mine = found.setdefault(account, set())
        for kind in constraints:
            if kind in values:
                mine.add((kind, values[kind], 0, int(time // bucket)))
                mine.add((kind, values[kind], 1, int((time + bucket / 2) // bucket)))
    return {account: tokens for account, tokens in found.items() if tokens}


@given(
    ROWS,
    st.sets(st.sampled_from(linker.KINDS), min_size=1),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.integers(2, 5),
    st.sampled_from([(), (0.0,), (1 / 24, 4 / 24)]),
)
@settings(max_examples=60, deadline=None)
def test_examines_by_definition(rows, constraints, bucket, most, releases):
    constraints = tuple(sorted(constraints))
    fields = {"constraints": constraints, "bucket_hours": bucket, "max_frequency": most, "release_days": releases}
    detector = Linker(**fields, least=3, shared=2)
    shape = {"payment": np.arange(8) // 3, "fingerprint": np.arange(8) % 3}
    at = state(8, **shape)
    half = len(rows) // 2
    for part in (rows[:half], rows[half:]):
        if part:
            watched(detector, at, batch(part))
    found = detector.examine(at, 5 * HOUR)
    sets = tokens_of(rows, at, constraints, HOUR * bucket, releases)
    if releases:  # releases begin and end with a slot here, so that the detector can tell to the second
        assert all((day * DAY) % detector.slot == 0 for day in releases)
    graph, _ = pairs(sets, most, 0.25, 2)
    groups = [part for part in nx.connected_components(graph) if len(part) >= 3]
    assert sorted(found.account.tolist()) == sorted(sets)
    guilty = set(found.account[found.alarm].tolist())
    assert guilty == set().union(*groups)
    clusters = {c: set(found.account[found.cluster == c].tolist()) for c in np.unique(found.cluster) if c >= 0}
    assert sorted(map(sorted, clusters.values())) == sorted(map(sorted, groups))
    np.testing.assert_array_equal(found.alarm, found.score >= FOUND)
    for account, score in zip(found.account.tolist(), found.score, strict=True):
        if account in guilty:
            assert score == FOUND + graph.degree(account)
        elif graph.degree(account):
            assert score == pytest.approx(1 + 1 / 3)
        else:
            assert 0 <= score < 1


def crew(members, hours, offset=0, network=100, prompt=0, jitter=60.0):
    """Accounts that follow one schedule, a job an hour with a template of its own."""
    return [
        (h * HOUR + 1000 + jitter * (m % 5), offset + m, prompt + h, network)
        for m in range(members)
        for h in range(hours)
    ]


def alone(members, hours, offset, rng):
    """Accounts with networks of their own that ask anything at any time."""
    return [
        (float(rng.uniform(0, hours * HOUR)), offset + m, int(rng.integers(500, 1000)), 10_000 + 64 * m)
        for m in range(members)
        for _ in range(hours)
    ]


def test_finds_a_crew_among_honest_accounts_and_keeps_its_links_for_a_picture():
    at = state(200)
    rows = crew(30, 10) + alone(170, 10, 30, np.random.default_rng(0))
    detector = Linker()
    found = detector.examine(watched(detector, at, batch(rows)), 10 * HOUR)
    assert set(found.account[found.alarm].tolist()) == set(range(30))
    assert len(np.unique(found.cluster[found.alarm])) == 1
    assert (found.cluster[~found.alarm] == -1).all()
    edges = at.memory["links"]
    assert len(edges.a) == 30 * 29 // 2
    assert (edges.a < edges.b).all()
    assert ((edges.weight >= detector.jaccard) & (edges.weight <= 1)).all()


def test_a_crew_across_bucket_edges_is_found_by_the_other_grid():
    """On the hour, half of them a minute early and half a minute late: only the shifted grid sees one bucket."""
    rows = [(h * HOUR + (60.0 if m % 2 else -60.0), m, h, 64 * m) for m in range(20) for h in range(1, 9)]
    detector = Linker(constraints=("template",), jaccard=0.3)
    found = detector.examine(watched(detector, state(20), batch(rows)), 10 * HOUR)
    assert found.alarm.all()
    assert len(np.unique(found.cluster)) == 1


def test_the_picture_is_capped(monkeypatch):
    monkeypatch.setattr(linker, "MOST_EDGES", 100)
    at = state(60)
    detector = Linker()
    watched(detector, at, batch(crew(40, 8) + crew(20, 8, 40, 999, 300)))
    detector.examine(at, 8 * HOUR)
    edges = at.memory["links"]
    assert 50 < len(edges.a) <= 100
    assert edges.b.max() < 40


def test_no_group_no_picture():
    at = state(60)
    detector = Linker()
    watched(detector, at, batch(crew(19, 8)))
    found = detector.examine(at, 8 * HOUR)
    assert not found.alarm.any()
    assert (found.score < FOUND).all()
    assert (found.score > 1).all()
    assert len(at.memory["links"].a) == 0


def test_by_address_alone_two_labs_that_share_proxies_are_one():
    rows = crew(25, 8, 0, 100, 0) + crew(25, 8, 25, 100, 200)
    everything, address = Linker(constraints=("template",)), Linker(constraints=("network",))
    apart = everything.examine(watched(everything, state(50), batch(rows)), 8 * HOUR)
    merged = address.examine(watched(address, state(50), batch(rows)), 8 * HOUR)
    assert apart.alarm.all()
    assert merged.alarm.all()
    assert len(np.unique(apart.cluster)) == 2
    assert len(np.unique(merged.cluster)) == 1


def test_sharing_a_card_at_different_hours_is_no_link():
    """The time is part of every action, standing attributes included."""
    rows = [((8 * (m % 3) + h) * HOUR + 10, m, 100 * m + h, 64 * m) for m in range(24) for h in range(8)]
    at = state(24, payment=np.zeros(24, np.int32))
    detector = Linker(constraints=("payment",))
    found = detector.examine(watched(detector, at, batch(rows)), DAY)
    assert found.alarm.sum() == 0
    together = Linker(constraints=("payment",), least=8)
    found = together.examine(watched(together, state(24, payment=np.zeros(24, np.int32)), batch(rows)), DAY)
    assert len(np.unique(found.cluster)) == 3


def test_only_who_did_something_new_is_judged_again():
    at = state(50)
    detector = Linker()
    watched(detector, at, batch(crew(25, 6) + alone(20, 6, 25, np.random.default_rng(1))))
    assert len(detector.examine(at, 6 * HOUR).account) == 45
    assert len(detector.examine(at, 6 * HOUR).account) == 0
    watched(detector, at, batch([(6 * HOUR + 5, 30, 1, 7), (6 * HOUR + 5, 3, 1, 7)]))
    at.accounts.ban(np.array([4]))
    again = detector.examine(at, 7 * HOUR)
    assert sorted(again.account.tolist()) == [0, 1, 2, 3, *range(5, 25), 30]
    assert sorted(again.account[again.alarm].tolist()) == [0, 1, 2, 3, *range(5, 25)]


def test_a_day_later_nothing_is_remembered():
    at = state(30)
    detector = Linker()
    watched(detector, at, batch(crew(25, 6)))
    assert len(detector.examine(at, 6 * HOUR + DAY).account) == 0


def test_accounts_opened_between_calls_are_linked_too():
    at = state(10)
    detector = Linker()
    watched(detector, at, batch(crew(10, 6)))
    at.accounts.open(15)
    watched(detector, at, batch([r for r in crew(25, 6) if r[1] >= 10]))
    assert detector.examine(at, 6 * HOUR).alarm.sum() == 25


def test_nothing_watched_nobody_suspected():
    detector = Linker()
    at = state(3)
    detector.watch(batch([(0.0, 0, 0, 0)]).take(np.zeros(0, np.int64)), np.zeros(0, np.int32), at)
    assert len(detector.examine(at, 0.0).account) == 0


def test_is_the_same_however_the_requests_are_cut():
    rows = crew(25, 6) + alone(20, 6, 25, np.random.default_rng(2))
    detector = Linker()
    whole = detector.examine(watched(detector, state(45), batch(rows)), 6 * HOUR)
    at = state(45)
    for hour in range(6):
        watched(detector, at, batch([r for r in rows if r[0] // HOUR == hour]))
    parts = detector.examine(at, 6 * HOUR)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a, b)


def test_as_an_admission_defense_it_shuts_the_crew_out_and_lets_a_few_accounts_be():
    detector = Linker(every_hours=6.0)
    for members, refused in ((25, True), (10, False)):
        at = state(30)
        asked = batch(crew(members, 7))
        detector.admit(asked.take(np.argsort(asked.time, kind="stable")), at)
        later = batch([(7.5 * HOUR, a, 0, a) for a in range(30)])
        status = detector.admit(later, at).status
        assert (status == FORBIDDEN).tolist() == [refused and a < members for a in range(30)]


def test_fit_needs_nothing():
    at = state(1)
    assert Linker().fit(traffic(at, batch([(0.0, 0, 0, 0)])), None, np.random.default_rng(0)) == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("jaccard", 0.0),
        ("jaccard", 1.1),
        ("shared", 0),
        ("max_frequency", 1),
        ("bucket_hours", 0.0),
        ("bucket_hours", 25.0),
        ("release_days", (2.0, 1.0)),
        ("constraints", ("address",)),
    ],
)
def test_bad_values_are_refused(field, value):
    with pytest.raises(ConfigError, match=field):
        Linker(**{field: value})


def test_the_yaml_has_the_defaults():
    assert build(OmegaConf.load(CONFIG).linker, Defense, "defense.linker") == Linker()
