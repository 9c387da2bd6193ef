"""One store, many processes: each stage once, whoever is killed or suspended."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
import warnings
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest

from experiments.store.artifact import Artifact
from experiments.store.entry import Entry
from experiments.store.layout import LOCKS
from experiments.store.lease import PATIENCE, LeasePatience
from experiments.store.stage import Context
from experiments.store.store import Store
from tests.experiments.fakes import Fake as FakeWithTable
from tests.experiments.fakes import runs

SHORT = LeasePatience(0.05, 0.8)


class Fake(FakeWithTable):
    """Without a table: polars does not work in a forked process."""

    def run(self, context: Context) -> Artifact:
        (Path(self.marks) / f"{self.label}-{os.getpid()}-{time.monotonic_ns()}").touch()
        time.sleep(self.sleep)
        return Artifact({"data": {"x": np.full(self.size, len(context.inputs))}}, meta={"label": self.label})


def do(store: Store, stage: Fake) -> Entry:
    """What an engine does with a stage."""
    with store.claim(stage):
        found = store.get(stage)
        if found is not None:
            return found
        inputs = {name: do(store, needed) for name, needed in stage.inputs().items()}
        return store.put(stage, stage.run(Context(inputs, store, lambda *_: None)))


def work(root: Path, stages: list[Fake], seed: int, patience: LeasePatience) -> None:
    store = Store(root, patience)
    for stage in random.Random(seed).sample(stages, len(stages)):
        do(store, stage)


def start(root: Path, stages: list[Fake], seed: int = 0, patience: LeasePatience = PATIENCE) -> BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=work, args=(root, stages, seed, patience), daemon=True)
    process.start()
    return process


def wait_for(marks: Path, count: int) -> None:
    until = time.monotonic() + 20
    while len(list(marks.iterdir())) < count:
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    (tmp_path / "marks").mkdir()
    return tmp_path / "marks"


def grid(marks: Path, count: int = 12, sleep: float = 0.01) -> list[Fake]:
    root = Fake("root", marks=str(marks), sleep=sleep)
    middles = [Fake(f"middle{i}", {"root": root}, str(marks), sleep) for i in range(3)]
    return [Fake(f"row{i}", {"m": middles[i % 3], "r": root}, str(marks), sleep) for i in range(count)]


def test_many_processes_do_each_stage_once(tmp_path, marks):
    processes = [start(tmp_path / "store", grid(marks), seed) for seed in range(6)]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(runs(marks)) == 16
    assert set(runs(marks).values()) == {1}
    assert os.listdir(tmp_path / "store" / LOCKS) == []


def test_the_stage_of_a_killed_process_is_taken_over_at_once(tmp_path, marks):
    store, stage = Store(tmp_path / "store"), Fake("slow", marks=str(marks), sleep=30)
    process = start(store.root, [stage])
    wait_for(marks, 1)
    waiting = start(store.root, [Fake("slow", marks=str(marks))])  # the same key: it only takes less time
    time.sleep(0.2)
    assert len(list(marks.iterdir())) == 1
    began = time.monotonic()
    process.kill()
    waiting.join(10)
    assert waiting.exitcode == 0
    assert time.monotonic() - began < 3
    assert store.get(stage) is not None
    process.join()


def test_a_suspended_process_loses_its_stage_and_does_no_harm_when_it_goes_on(tmp_path, marks):
    root, stage = tmp_path / "store", Fake("slow", marks=str(marks), sleep=0.4)
    process = start(root, [stage], patience=SHORT)
    wait_for(marks, 1)
    os.kill(process.pid, signal.SIGSTOP)
    store = Store(root, SHORT)
    began = time.monotonic()
    entry = do(store, stage)
    assert time.monotonic() - began >= SHORT.expiry
    assert runs(marks)["slow"] == 2
    before = {path.name: path.read_bytes() for path in entry.path.iterdir()}
    with store.claim(stage):
        os.kill(process.pid, signal.SIGCONT)
        process.join(20)
        assert process.exitcode == 0
        assert len(os.listdir(root / LOCKS)) == 1  # ours is still there
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Store(root).get(stage) is not None
    assert {path.name: path.read_bytes() for path in entry.path.iterdir()} == before
    assert not list(root.glob("*/.tmp-*"))


def share(root: Path, marks: Path, names: list[str], seed: int) -> None:
    store = Store(root)
    for name in random.Random(seed).sample(names, len(names)):

        def make(name: str = name) -> Artifact:
            (marks / f"{name}-{os.getpid()}").touch()
            time.sleep(0.005)
            return Artifact(meta={"name": name})

        assert store.memo("shared", {"name": name}, make).meta == {"name": name}


def test_many_processes_make_shared_work_once(tmp_path, marks):
    names = [f"n{i}" for i in range(20)]
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=share, args=(tmp_path / "store", marks, names, seed)) for seed in range(5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert runs(marks) == dict.fromkeys(names, 1)


def test_whatever_is_killed_the_others_finish_and_all_is_whole(tmp_path, marks):
    root, moments = tmp_path / "store", random.Random(11)
    victims = [start(root, grid(marks, 30), seed) for seed in range(8)]
    survivor = start(root, grid(marks, 30), 99)
    for process in victims:
        time.sleep(moments.uniform(0.02, 0.12))
        process.kill()
        process.join()
    survivor.join(60)
    assert survivor.exitcode == 0
    store = Store(root)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(store.get(stage) for stage in grid(marks, 30))
    store.sweep()
    assert not list(root.glob("*/.tmp-*"))


def test_a_manifest_names_the_shared_work_that_was_used(tmp_path):
    store = Store(tmp_path)
    used, inner, other = ({"n": n} for n in range(3))
    store.memo("shared", other, Artifact)
    with store.claim(Fake("one")):
        made = store.memo("shared", used, lambda: (store.memo("deeper", inner, Artifact), Artifact())[1])
        one = store.put(Fake("one"), Artifact())
    with store.claim(Fake("two")):
        store.memo("shared", used, Artifact)  # there already
        two = store.put(Fake("two"), Artifact())
    three = store.put(Fake("three"), Artifact())
    name = {"stage": "shared", "key": made.key}
    assert [memo["stage"] for memo in made.manifest["memos"]] == ["deeper"]
    assert name in one.manifest["memos"]
    assert two.manifest["memos"] == [name]
    assert three.manifest["memos"] == []
