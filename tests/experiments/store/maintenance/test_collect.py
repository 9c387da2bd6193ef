"""Collecting: nothing that a kept table needs, that is held, or that was of use just now; everything else."""

from __future__ import annotations

from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError, MoatBenchError
from experiments.store.layout import Ref
from experiments.store.maintenance.collect import carry_out, plan
from experiments.store.maintenance.kept import forget, keep, kept, kept_named
from experiments.store.maintenance.reach import reach
from experiments.store.store import Store
from tests.experiments.fakes import Fake
from tests.experiments.store.stores import age, all_refs, do, put_plain, ref

OLD = 7 * 86400.0


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def rows(count: int = 3) -> list[Fake]:
    root = Fake("root")
    middles = [Fake(f"middle{i}", {"root": root}) for i in range(count)]
    return [Fake(f"row{i}", {"m": middle, "r": root}) for i, middle in enumerate(middles)]


def collected(store: Store, grace: float = 3600.0) -> set[Ref]:
    before = all_refs(store)
    carry_out(plan(store.root, kept(store.root), grace), store, grace)
    return before - all_refs(store)


def test_only_what_no_kept_table_was_made_from_goes(store):
    first, second, third = rows()
    for row, memos in ((first, [1]), (second, [2]), (third, [2, 3])):
        put_plain(store, row.needs["r"])
        put_plain(store, row.needs["m"], memos)
        put_plain(store, row)
    keep(store, "main", [second])
    keep(store, "other", [first])
    age(store, OLD)
    gone = collected(store)
    assert {r for r in gone if r.stage == "fake"} == {ref(third), ref(third.needs["m"])}
    assert len(gone) == 3  # and the shared work that only it used
    forget(store.root, "other")
    assert {r for r in collected(store) if r.stage == "fake"} == {ref(first), ref(first.needs["m"])}
    assert all_refs(store) == reach(store.root, [ref(second)])


def test_what_was_of_use_just_now_stays(store):
    keep(store, "empty", [])
    for row in rows():
        put_plain(store, row)
    assert collected(store) == set()
    age(store, OLD)
    Store(store.root).get(rows()[1])  # somebody reads it
    assert collected(store) == {ref(rows()[0]), ref(rows()[2])}
    assert collected(store, 0.0) == {ref(rows()[1])}


def test_what_is_held_stays(store):
    keep(store, "empty", [])
    for row in rows(2):
        put_plain(store, row)
    age(store, OLD)
    with Store(store.root).claim(rows()[0]):
        planned = plan(store.root, [])
        assert [one.ref for one in planned.busy] == [ref(rows()[0])]
        assert collected(store) == {ref(rows()[1])}


def test_a_sweep_that_runs_keeps_what_it_needs_from_its_start(store):
    """Some of its stages were made long ago, others are not there yet."""
    (row,) = rows(1)
    put_plain(store, row.needs["r"])
    keep(store, "main", [row], finished=False)
    age(store, OLD)
    assert collected(store) == set()
    put_plain(store, row.needs["m"], [1])
    age(store, OLD)
    assert collected(store) == set()


def test_a_new_table_of_a_name_takes_the_place_of_the_old_one_when_it_is_finished(store):
    first, second = rows(2)
    for row in (first, second):
        put_plain(store, row)
    keep(store, "main", [first])
    age(store, OLD)
    keep(store, "main", [second], finished=False)
    assert collected(store) == set()
    keep(store, "main", [second], ["run", "seed=2"])
    assert collected(store) == {ref(first)}
    (table,) = kept(store.root)
    assert (table.rows, table.command) == ((ref(second),), ("run", "seed=2"))


def test_an_entry_that_is_lost_or_corrupt_does_not_take_what_it_was_made_from_along(store):
    (row,) = rows(1)
    do(store, row)
    keep(store, "main", [row])
    place = store.root / "fake" / row.needs["m"].key
    (place / "manifest.json").write_text("{")
    age(store, OLD)
    assert collected(store) == set()
    with pytest.warns(UserWarning, match="corrupt"):
        assert Store(store.root).get(row.needs["m"]) is None
    assert collected(store) == set()


def test_a_record_that_cannot_be_read_stops_a_collection(store):
    keep(store, "a/b", rows(1))
    assert kept_named(store.root, "a/b", "NAME").rows == (ref(rows(1)[0]),)
    with pytest.raises(ConfigError, match=r"NAME = 'a': is not a kept table .*did you mean 'a/b'"):
        kept_named(store.root, "a", "NAME")
    next((store.root / "tables").iterdir()).write_text("{")
    with pytest.raises(MoatBenchError, match="cannot be read"):
        kept(store.root)


GRAPHS = st.lists(
    st.tuples(st.sets(st.integers(0, 30), max_size=3), st.sets(st.integers(0, 4), max_size=2), st.booleans()),
    min_size=1,
    max_size=9,
)


@given(GRAPHS, st.booleans())
@settings(deadline=None, max_examples=25)
def test_random_graphs_lose_what_is_not_reached_and_nothing_else(graph, recent):
    with TemporaryDirectory() as folder:
        store = Store(folder)
        stages: list[Fake] = []
        needs: dict[Ref, set[Ref]] = {}
        wanted: list[Fake] = []
        for number, (inputs, memos, is_row) in enumerate(graph):
            below = [stages[i] for i in sorted(inputs) if i < number]
            stage = Fake(f"s{number}", {f"i{n}": needed for n, needed in enumerate(below)})
            before = all_refs(store)
            put_plain(store, stage, memos)
            used = {Ref(m["stage"], m["key"]) for m in store.get(stage).manifest["memos"]}
            assert len(used) == len(memos)
            assert all_refs(store) - before <= used | {ref(stage)}
            needs[ref(stage)] = {ref(s) for s in below} | used
            stages.append(stage)
            if is_row:
                wanted.append(stage)
        keep(store, "main", wanted)
        expected, left = set(), [ref(s) for s in wanted]
        while left:
            one = left.pop()
            expected.add(one)
            left += needs.get(one, ())
        everything = all_refs(store)
        age(store, OLD)
        gone = collected(store, 2 * OLD if recent else 3600.0)
        assert gone == (set() if recent else everything - expected)
        again = Store(folder)
        assert all(again.entry(one) for one in expected)
