"""Checking every byte, and stores of other versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import MoatBenchError
from experiments.store import layout
from experiments.store.entry import FORMAT
from experiments.store.layout import MARK, NotAStoreError, Ref, StoreFormatError, format_of
from experiments.store.maintenance.check import repair, verify
from experiments.store.maintenance.migrate import migrate
from experiments.store.store import Store
from tests.experiments.fakes import Fake
from tests.experiments.store.stores import all_refs, do, make_old, put_plain, ref


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Store:
    """Read only, but for a test that puts back what it changes."""
    store = Store(tmp_path_factory.mktemp("store"))
    do(store, Fake("row", {"a": Fake("a"), "b": Fake("bb")}), [1])
    return store


def corrupt(store: Store) -> set[Ref]:
    return {checked.ref for checked in verify(store.root) if checked.wrong}


@given(st.integers(0, 2**32), st.integers(0, 7))
@settings(deadline=None, max_examples=60)
def test_every_flipped_bit_is_found(whole, where, bit):
    files = sorted(path for one in all_refs(whole) for path in (whole.root / one.stage / one.key).iterdir())
    path = files[where % len(files)]
    before = path.read_bytes()
    changed = bytearray(before)
    changed[(where * 7919) % len(changed)] ^= 1 << bit
    path.write_bytes(changed)
    try:
        assert corrupt(whole) == {Ref(path.parent.parent.name, path.parent.name)}
    finally:
        path.write_bytes(before)
    assert corrupt(whole) == set()


def test_what_is_corrupt_is_taken_away_and_made_again(tmp_path):
    store, row = Store(tmp_path), Fake("row", {"a": Fake("a")})
    do(store, row)
    path = tmp_path / "fake" / Fake("a").key / "data.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    (wrong,) = corrupt(store)
    with Store(tmp_path).claim(Fake("a")):
        pass
    assert repair(store, wrong)
    assert all_refs(store) == {ref(row)}
    do(Store(tmp_path), row)
    do(Store(tmp_path), Fake("a"))
    assert corrupt(store) == set()
    assert repair(store, wrong)  # it is whole by now, and stays
    assert ref(Fake("a")) in all_refs(store)


def test_an_entry_in_another_ones_place_is_not_taken_for_it(tmp_path):
    store = Store(tmp_path)
    put_plain(store, Fake("a"))
    (tmp_path / "fake" / Fake("a").key).rename(tmp_path / "fake" / Fake("b").key)
    assert corrupt(store) == {ref(Fake("b"))}
    with pytest.warns(UserWarning, match="belongs to"):
        assert Store(tmp_path).get(Fake("b")) is None


@pytest.mark.parametrize("old", [1, 2])
def test_an_old_store_is_refused_with_the_command_that_sets_it_aside(tmp_path, old):
    root = tmp_path / "store"
    do(Store(root), Fake("row", {"a": Fake("a")}), [1])
    make_old(root, old)
    before = snapshot(root)
    with pytest.raises(StoreFormatError, match=f"format is {old}, .*`moatbench store migrate store={root}`"):
        Store(root)
    aside = migrate(root)
    assert aside == tmp_path / f"store.format-{old}"
    assert snapshot(aside) == before
    assert Store(root).get(Fake("a")) is None
    assert migrate(root) is None
    (root / MARK).write_text(json.dumps({"format": old}))
    assert migrate(root) == tmp_path / f"store.format-{old}-2"


def test_a_store_at_work_is_not_set_aside(tmp_path):
    store = Store(tmp_path / "store")
    put_plain(store, Fake("a"))
    with store.claim(Fake("b")):
        (store.root / MARK).write_text(json.dumps({"format": 2}))
        with pytest.raises(MoatBenchError, match="a run of the older version is at work"):
            migrate(store.root)
    assert migrate(store.root) is not None


def test_a_newer_store_is_refused_and_left_alone(tmp_path):
    put_plain(Store(tmp_path), Fake("a"))
    (tmp_path / MARK).write_text(json.dumps({"format": FORMAT + 1}))
    for work in (Store, migrate):
        with pytest.raises(StoreFormatError, match="made by a newer version"):
            work(tmp_path)
    assert len(list((tmp_path / "fake").iterdir())) == 1


def test_a_store_that_is_brought_up_to_date_meanwhile_is_not_damaged(tmp_path):
    """A process that opened it before finds entries that it cannot read: they are not corrupt."""
    store = Store(tmp_path)
    place = store.put(Fake("a"), _artifact()).path / "manifest.json"
    place.write_text(place.read_text().replace(f'"format": {FORMAT}', f'"format": {FORMAT + 1}'))
    (tmp_path / MARK).write_text(json.dumps({"format": FORMAT + 1}))
    fresh = Store.__new__(Store)
    fresh.__dict__ = {**store.__dict__, "_checked": {}}
    with pytest.raises(StoreFormatError, match="newer version"):
        fresh.get(Fake("a"))
    assert place.exists()


def _artifact():
    from experiments.store.artifact import Artifact

    return Artifact()


@pytest.mark.parametrize("mark", ["{", "[]", '{"name": "shop"}'])
def test_a_folder_of_something_else_is_left_alone(tmp_path, mark):
    (tmp_path / "thesis.tex").write_text("...")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.csv").touch()
    before = snapshot(tmp_path)
    for work in (Store, migrate):
        with pytest.raises(NotAStoreError, match=r"data, thesis\.tex"):
            work(tmp_path)
    assert snapshot(tmp_path) == before
    (tmp_path / MARK).write_text(mark)
    for work in (Store, migrate):
        with pytest.raises(NotAStoreError, match="is not that of a store"):
            work(tmp_path)
    with pytest.raises(MoatBenchError, match="is a file"):
        Store(tmp_path / "thesis.tex")


def test_nothing_is_made_by_looking(tmp_path):
    store = Store(tmp_path / "absent")
    assert store.get(Fake("a")) is None
    assert store.sweep() == 0
    assert not (tmp_path / "absent").exists()
    with pytest.raises(MoatBenchError, match="there is no store"):
        migrate(tmp_path / "absent")


def test_a_store_of_failures_and_drafts_only_is_a_store(tmp_path):
    for name in ("failures", "teacher/.tmp-x-0-0-0", ".locks"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "failures" / "x.txt").touch()
    put_plain(Store(tmp_path), Fake("a"))
    assert format_of(tmp_path) == FORMAT


@pytest.mark.parametrize("entries", [0, 1])
def test_a_folder_that_becomes_a_store_while_it_is_looked_at_is_one(tmp_path, monkeypatch, entries):
    """The mark was not there yet, and what is there a moment later is neither something else nor of an older version."""
    kinds = layout.kinds

    def meanwhile(root: Path) -> list[str]:
        layout.begin(root)
        for number in range(entries):
            (root / "teacher" / f"{number:032x}").mkdir(parents=True)
        return kinds(root)

    monkeypatch.setattr(layout, "kinds", meanwhile)
    assert format_of(tmp_path) == FORMAT


def snapshot(root: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else None for p in sorted(root.rglob("*"))}
