"""The store: whole or not at all, checked when read, safe between processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from experiments.store.artifact import Artifact
from experiments.store.entry import MANIFEST
from experiments.store.process import machine
from experiments.store.store import Store, StoreFullError, StoreWarning
from tests.experiments.fakes import Fake

ARTIFACT = Artifact(
    {
        "arrays": {"x": np.arange(6).reshape(2, 3).T, "scalar": np.array(3.5), "none": np.zeros((0, 2), np.int32)},
        "tensors": {"a": torch.arange(3, dtype=torch.bfloat16), "b": torch.eye(3)[:, 1]},
    },
    {"row": pl.DataFrame({"x": [1.5, None], "names": [["a"], []]})},
    {"note": "yes", "n": [1, 2]},
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_what_is_put_is_got(store):
    stage = Fake("one")
    assert store.get(stage) is None
    assert not store.has(stage)
    store.put(stage, ARTIFACT, 2.5)
    assert store.has(stage)
    entry = Store(store.root).get(stage)
    np.testing.assert_array_equal(entry.arrays("arrays")["x"], np.arange(6).reshape(2, 3).T)
    assert entry.arrays("arrays")["scalar"].shape == ()
    assert entry.arrays("arrays")["none"].shape == (0, 2)
    assert entry.tensors("tensors")["a"].dtype == torch.bfloat16
    assert torch.equal(entry.tensors("tensors")["b"], torch.eye(3)[:, 1])
    assert entry.table("row").equals(ARTIFACT.tables["row"])
    assert entry.meta == ARTIFACT.meta
    assert entry.seconds == 2.5
    assert entry.key == stage.key
    assert entry.manifest["packages"]["torch"]
    assert {"git", "dirty", "cpu", "config", "inputs", "version"} <= entry.manifest.keys()
    with pytest.raises(KeyError, match="holds no absent"):
        entry.table("absent")


def test_tied_tensors_are_kept(store):
    shared = torch.ones(4)
    entry = store.put(Fake("tied"), Artifact({"w": {"a": shared, "b": shared, "c": shared[:2]}}))
    assert {name: t.numel() for name, t in entry.tensors("w").items()} == {"a": 4, "b": 4, "c": 2}


def test_memo_is_made_once(store):
    made = []

    def make() -> Artifact:
        made.append(1)
        return ARTIFACT

    first = store.memo("generations", {"a": 1}, make)
    second = Store(store.root).memo("generations", {"a": 1}, make)
    store.memo("generations", {"a": 2}, make)
    assert first.path == second.path
    assert len(made) == 2


@pytest.mark.parametrize("name", ["arrays.safetensors", "tensors.safetensors", "row.parquet", "meta.json", MANIFEST])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "empty"])
def test_damage_is_found_said_and_put_right(store, name, damage):
    stage = Fake("one")
    path = store.put(stage, ARTIFACT).path / name
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    fresh = Store(store.root)
    with pytest.warns(StoreWarning, match="is corrupt"):
        assert fresh.get(stage) is None
    assert not fresh.has(stage)
    assert fresh.put(stage, ARTIFACT).meta == ARTIFACT.meta


def test_putting_over_a_corrupt_entry_replaces_it(store):
    stage = Fake("one")
    (store.put(stage, ARTIFACT).path / "meta.json").write_text("{}")
    with pytest.warns(StoreWarning):
        assert Store(store.root).put(stage, ARTIFACT).meta == ARTIFACT.meta


def test_memo_over_a_corrupt_entry_makes_it_again(store):
    entry = store.memo("g", {}, lambda: ARTIFACT)
    (entry.path / MANIFEST).write_text("{")
    with pytest.warns(StoreWarning):
        assert Store(store.root).memo("g", {}, lambda: ARTIFACT).meta == ARTIFACT.meta


def test_an_entry_of_another_format_is_not_read(store):
    stage = Fake("one")
    path = store.put(stage, ARTIFACT).path / MANIFEST
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "format": 0}))
    with pytest.warns(StoreWarning):
        assert Store(store.root).get(stage) is None


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("I/O error: No space left on device (os error 28)")]
)
def test_full_disk_leaves_nothing_and_says_so(store, monkeypatch, error):
    store.put(Fake("kept"), ARTIFACT)

    def full(self: pl.DataFrame, path: Path, **_: object) -> None:
        Path(path).write_bytes(b"half")
        raise error

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(StoreFullError, match="finished stages are kept"):
        store.put(Fake("one"), ARTIFACT)
    assert [p.name for p in (store.root / "fake").iterdir()] == [Fake("kept").key]
    assert store.get(Fake("kept")) is not None


BIG = Artifact({"big": {"x": np.random.default_rng(0).random(400_000)}}, {}, {"n": 1})


def _write_many(root: Path, names: list[str]) -> None:
    store = Store(root)
    for name in names:
        store.put(Fake(name), BIG)


def _in_process(root: Path, names: list[str]) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=_write_many, args=(root, names))
    process.start()
    return process


def test_a_writer_killed_at_any_moment_leaves_whole_entries_only(store):
    names = [f"n{i}" for i in range(400)]
    times = random.Random(3)
    for _ in range(8):
        process = _in_process(store.root, names)
        time.sleep(times.uniform(0.02, 0.25))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    fresh = Store(store.root)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing half-written has an entry's name
        written = [fresh.get(Fake(name)) for name in names]
    assert any(written)
    fresh.sweep()
    assert not list(store.root.glob("*/.tmp-*"))


def test_writers_at_once_agree(store):
    names = [f"n{i}" for i in range(20)]
    processes = [_in_process(store.root, names) for _ in range(3)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert all(Store(store.root).get(Fake(name)) for name in names)
    assert not list(store.root.glob("*/.tmp-*"))


def test_living_writers_drafts_are_not_swept(store):
    store.put(Fake("one"), ARTIFACT)
    own = next((store.root / "fake").iterdir()).rename(store.root / "fake" / _draft_name(store, os.getpid()))
    assert store.sweep() == 0
    dead = own.rename(own.with_name(_draft_name(store, 2**22 + 1)))
    elsewhere = dead.with_name(".tmp-key-00000000-1-aa")
    elsewhere.mkdir()
    assert store.sweep() == 1
    assert elsewhere.exists()


def _draft_name(store: Store, pid: int) -> str:
    return f".tmp-key-{machine()}-{pid}-aa"


def test_a_draft_of_a_process_that_waits_to_be_reaped_is_abandoned(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has reaped it
    store = Store(tmp_path)
    draft = tmp_path / "fake" / _draft_name(store, child.pid)
    draft.mkdir(parents=True)
    assert store.sweep() == 1
    assert not draft.exists()
    child.wait()
