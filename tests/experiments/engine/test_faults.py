"""What goes wrong while stages run: hangs, crashes, too little memory. All else is done, and it is said why."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from configs.errors import ConfigError
from experiments.engine.base import Raised
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import PATIENCE, LocalEngine, allowance
from experiments.engine.log import Logged
from experiments.engine.pool import WorkerPool
from experiments.store.artifact import Artifact
from experiments.store.stage import Context
from experiments.store.store import Store
from tests.experiments.fakes import Fake, Joins, Raises


class Says(SilentDisplay):
    """Keeps what a user is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def said(self, text: str) -> None:
        self.told.append(text)


@dataclass(frozen=True)
class Hangs(Fake):
    """Never ends, and says nothing after its first word."""

    name: ClassVar[str] = "hangs"

    once: bool = False

    def run(self, context: Context) -> Artifact:
        mark = Path(self.marks) / f"hung-{self.label}"
        if self.once and mark.exists():
            return super().run(context)
        mark.touch()
        context.progress(0, 1, "hanging")
        self.waits_for_ever()
        raise AssertionError

    def waits_for_ever(self) -> None:
        threading.Event().wait()


@dataclass(frozen=True)
class Stops(Fake):
    """Its process is stopped, so that it cannot even say where it is."""

    name: ClassVar[str] = "stops"

    def run(self, context: Context) -> Artifact:
        context.progress(0, 1, "stopping")
        os.kill(os.getpid(), signal.SIGSTOP)
        return super().run(context)


@dataclass(frozen=True)
class Crashes(Fake):
    """Ends its process as a bug in a library of C code would."""

    name: ClassVar[str] = "crashes"

    def run(self, context: Context) -> Artifact:
        os.kill(os.getpid(), signal.SIGSEGV)
        return super().run(context)


@dataclass(frozen=True)
class Hungry(Joins):
    """Needs too much memory in company, and with "bad" alone."""

    name: ClassVar[str] = "hungry"

    def run(self, context: Context) -> Artifact:
        if self.label == "bad":
            raise MemoryError
        return super().run(context)

    @classmethod
    def run_together(cls, stages, contexts):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")


@dataclass(frozen=True)
class Steady(Fake):
    """Takes long, and says so."""

    name: ClassVar[str] = "steady"

    def run(self, context: Context) -> Artifact:
        for done in range(10):
            context.progress(done, 10, "working")
            time.sleep(0.3)
        return super().run(context)


def run(wanted, store, workers=2, **settings):
    said = Says()
    outcome = LocalEngine(workers, **settings).run(plan(wanted, store), store, said)
    return outcome, said.told


@pytest.fixture
def marks(tmp_path: Path) -> str:
    folder = tmp_path / "marks"
    folder.mkdir()
    return str(folder)


def others(count: int = 4) -> list[Wanted]:
    return [Wanted(Fake(f"other{i}", {"r": Fake("root")}), f"other {i}") for i in range(count)]


def test_a_hung_stage_is_tried_once_more_then_fails_with_its_stack(tmp_path, marks):
    store = Store(tmp_path / "store")
    wanted = [Wanted(Hangs("always", marks=marks), "a"), Wanted(Hangs("once", marks=marks, once=True), "b"), *others()]
    outcome, said = run(wanted, store, patience=1.5)
    (failure,) = outcome.failures
    assert failure.label == "a"
    assert "killed after 2 s without a sign of life, 2 times" in failure.error
    assert "waits_for_ever" in failure.story
    assert "waits_for_ever" in failure.traceback.read_text()
    assert outcome.done == 6
    assert sum("trying once more" in text for text in said) == 2


def test_a_stopped_process_is_killed_without_a_stack(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.engine.pool.SHOWN", 0.3)
    store = Store(tmp_path / "store")
    outcome, _ = run([Wanted(Stops("stopped"), "a"), *others()], store, patience=1.0)
    (failure,) = outcome.failures
    assert "did not say what it was doing" in failure.story
    assert outcome.done == 5


def test_a_stopped_process_that_takes_no_work_is_replaced(tmp_path, monkeypatch):
    """What it is sent does not fit into a pipe, so that sending has to wait."""
    monkeypatch.setattr("experiments.engine.pool.STUCK", 0.3)
    with WorkerPool(tmp_path / "store", 1, 1) as pool:
        worker = pool.idle()
        worker.give(["a"], [Fake("a")], 60.0)
        while worker.pipe.poll(60) and worker.hear()[0] != "finished":  # as the pool listens: when something has come
            pass
        os.kill(worker.pid, signal.SIGSTOP)
        worker.give(["b"], [Fake("b" * 10**7)], 60.0)
        with pytest.raises((EOFError, OSError)):
            worker.hear()
        how, _ = pool.remove(worker)
        assert "SIGKILL" in how


def test_progress_is_a_sign_of_life(tmp_path):
    store = Store(tmp_path / "store")
    outcome, said = run([Wanted(Steady("steady"), "a")], store, workers=1, patience=1.2)
    assert outcome.done == 1
    assert not said


def test_to_wait_for_another_process_is_no_hang(tmp_path):
    store = Store(tmp_path / "store")
    stage = Fake("shared")
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with store.claim(stage):
            taken.set()
            done.wait(2.5)

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    outcome, said = run([Wanted(stage, "a")], Store(store.root), workers=1, patience=1.0)
    holder.join()
    assert outcome.done == 1
    assert not said


def test_patience_follows_what_a_stage_should_take():
    assert allowance(None, 1.0) == PATIENCE
    assert allowance(None, 3600.0) == 20 * 3600.0
    assert allowance(0, 3600.0) == float("inf")
    assert allowance(7.5, 3600.0) == 7.5
    with pytest.raises(ConfigError, match="patience"):
        LocalEngine(patience=-1.0)


def test_a_crash_leaves_a_stack(tmp_path):
    store = Store(tmp_path / "store")
    outcome, _ = run([Wanted(Crashes("crash"), "a"), *others()], store)
    (failure,) = outcome.failures
    assert "SIGSEGV, 2 times" in failure.error
    assert "test_faults.py" in failure.story
    assert outcome.done == 5


def test_a_process_that_cannot_be_ended_is_left_behind(tmp_path, monkeypatch):
    """As one is that waits for a dead disk: nothing waits for it, not even Python when it exits."""
    monkeypatch.setattr("experiments.engine.pool.REAP", 0.2)
    monkeypatch.setattr("experiments.engine.pool.SHOWN", 0.2)
    with WorkerPool(tmp_path / "store", 1, 1) as pool:
        worker = pool.idle()
        kill = worker.process.kill
        monkeypatch.setattr(worker.process, "kill", lambda: None)
        how, _ = pool.remove(worker)
        assert "could not end it" in how
        assert worker.process not in multiprocessing.active_children()
        kill()


def test_a_group_that_is_short_of_memory_is_split_and_a_single_stage_says_what_to_do(tmp_path):
    store = Store(tmp_path / "store")
    wanted = [Wanted(Hungry(label), label) for label in ("a", "bad", "c")]
    outcome = LocalEngine(0, cohort=8).run(plan(wanted, store), store, SilentDisplay())
    (failure,) = outcome.failures
    assert failure.label == "bad"
    assert failure.error.startswith("MemoryError")
    assert "--workers 1" in failure.error
    assert outcome.done == 2


def test_advice_for_memory_is_given_for_whoever_raises():
    class OutOfMemoryError(RuntimeError):  # torch's, by its name
        pass

    for error in (MemoryError(), OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory: 8 GB")):
        assert "--workers 1" in Raised.of(error).error
    assert "--workers" not in Raised.of(RuntimeError("no luck")).error


def test_the_log_says_what_happened(tmp_path, marks):
    store, path = Store(tmp_path / "store"), tmp_path / "logs" / "run.jsonl"
    wanted = [
        Wanted(Raises("bad"), "a"),
        Wanted(Hangs("once", marks=marks, once=True), "b"),
        *[Wanted(Joins(f"j{i}"), f"j{i}") for i in range(3)],
    ]
    log = Logged(SilentDisplay(), path)
    LocalEngine(2, cohort=3, patience=1.0).run(plan(wanted, store), store, log)
    log.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    events = [line["event"] for line in lines]
    assert {"start", "finish", "failure", "kill", "retry", "said"} <= set(events)
    assert events.count("start") == events.count("finish") + events.count("failure") + events.count("retry")
    (failure,) = [line for line in lines if line["event"] == "failure"]
    assert "no luck with bad" in failure["error"]
    assert Path(failure["traceback"]).is_file()
    joined = [line for line in lines if line["event"] == "start" and line["stage"] == "joins"]
    assert {line["group"] for line in joined} == {3}
    for line in lines:
        assert line["time"]
        if line["event"] == "finish":
            assert line["seconds"] >= 0
            assert line["peak_mb"] > 10
            assert line["worker"] != os.getpid()
            assert {"stage", "key", "label"} <= set(line)


def test_a_log_that_cannot_be_written_is_given_up_once(tmp_path):
    (tmp_path / "logs").write_text("a file where the folder should be")
    said = Says()
    log = Logged(said, tmp_path / "logs" / "run.jsonl")
    for _ in range(3):
        log.noted("start", {})
    log.close()
    assert len(said.told) == 1
    assert "the run goes on" in said.told[0]
