"""Checking every byte, and stores of other versions."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import MoatBenchError
from experiments.care.check import repair, verify
from experiments.care.migrate import migrate
from experiments.entry import FORMAT
from experiments.layout import MARK, NotAStoreError, Ref, StoreFormatError, format_of
from experiments.store import Store
from tests.experiments.care.stores import all_refs, do, make_old, put_plain, ref
from tests.experiments.fakes import Fake


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


def test_an_old_store_is_refused_with_the_command_that_helps_and_is_the_same_afterwards(tmp_path):
    row = Fake("row", {"a": Fake("a")})
    do(Store(tmp_path), row, [1])
    make_old(tmp_path)
    with pytest.raises(StoreFormatError, match=f"moatbench store migrate store={tmp_path}"):
        Store(tmp_path)
    assert migrate(tmp_path) == 3
    store = Store(tmp_path)
    assert store.get(row).meta == {"label": "row"}
    assert store.get(row).manifest["memos"] is None
    assert store.get(row).arrays("data")["x"].shape == (4,)
    assert corrupt(store) == set()
    assert not list((tmp_path / ".locks").iterdir())
    assert migrate(tmp_path) == 0


def test_migration_goes_on_where_it_was_killed(tmp_path):
    store, names = Store(tmp_path), [f"s{i}" for i in range(150)]
    for name in names:
        put_plain(store, Fake(name))
    make_old(tmp_path)
    code = "import sys; from pathlib import Path; from experiments.care.migrate import migrate; print(1, flush=True); "
    code += "migrate(Path(sys.argv[1]))"
    for wait in (0.002, 0.01):
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if format_of(tmp_path) == 1:  # it was not too fast
            with pytest.raises(StoreFormatError):
                Store(tmp_path)
    migrate(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(Store(tmp_path).get(Fake(name)) for name in names)


def test_a_corrupt_entry_of_an_old_store_is_left_to_be_found(tmp_path):
    store = Store(tmp_path)
    for name in ("a", "b"):
        put_plain(store, Fake(name))
    make_old(tmp_path)
    path = tmp_path / "fake" / Fake("a").key / "manifest.json"
    path.write_text(path.read_text().replace("fake", "fane"))
    assert migrate(tmp_path) == 1
    assert corrupt(Store(tmp_path)) == {ref(Fake("a"))}


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
    place.write_text(place.read_text().replace('"format": 2', '"format": 3'))
    (tmp_path / MARK).write_text(json.dumps({"format": FORMAT + 1}))
    fresh = Store.__new__(Store)
    fresh.__dict__ = {**store.__dict__, "_checked": {}}
    with pytest.raises(StoreFormatError, match="newer version"):
        fresh.get(Fake("a"))
    assert place.exists()


def _artifact():
    from experiments.stage import Artifact

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


def snapshot(root: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else None for p in sorted(root.rglob("*"))}
