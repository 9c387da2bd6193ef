"""A disk that gets full: nothing more is started, what runs is finished, and when there is room only the rest is done."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from experiments.engine.base import Raised
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.engine.schedule import Schedule, conclude
from experiments.store.store import Store
from tests.experiments.fakes import Fake, Joins


def run(wanted, store, workers=2, **settings):
    return LocalEngine(workers, **settings).run(plan(wanted, store), store, SilentDisplay())


def others(count: int = 4) -> list[Wanted]:
    return [Wanted(Fake(f"other{i}", {"r": Fake("root")}), f"other {i}") for i in range(count)]


def drafts(store: Store) -> list[Path]:
    return list(store.root.glob("*/.tmp-*"))


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_nothing_more_is_started_when_the_disk_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.store.store.write_entry", full)
    store = Store(tmp_path / "store")
    outcome = run(others(), store, workers=0)
    (failure,) = outcome.failures
    assert outcome.full
    assert outcome.done == 0
    assert "is full: free some space" in failure.error
    assert not drafts(store)
    monkeypatch.undo()
    outcome = run(others(), store, workers=0)
    assert (outcome.done, outcome.failures, outcome.full) == (5, (), False)


def test_what_runs_when_the_disk_gets_full_is_finished(tmp_path):
    store = Store(tmp_path / "store")
    a, b, c = (Fake(label) for label in "abc")
    schedule = Schedule(plan([Wanted(s, s.label) for s in (a, b, c)], store), store, 2, SilentDisplay(), lambda _: None)
    first, second = schedule.next(), schedule.next()
    assert schedule.ready_to_start
    conclude(schedule, (first[0].stage.key,), ("failed", Raised("full", "a long story", full=True)))
    assert not schedule.ready_to_start
    assert schedule.next() == ()
    assert schedule  # the second still runs
    conclude(schedule, (second[0].stage.key,), ("finished", {second[0].stage.key: 1.0}))
    assert not schedule
    outcome = schedule.outcome()
    assert (outcome.full, outcome.done, len(outcome.failures)) == (True, 1, 1)


def test_a_group_on_a_full_disk_keeps_what_was_stored(tmp_path, monkeypatch):
    from experiments.store import store as module

    written, real = [], module.write_entry

    def second_fails(folder, *rest):
        written.append(folder)
        if len(written) > 1:
            full()
        real(folder, *rest)

    monkeypatch.setattr(module, "write_entry", second_fails)
    store = Store(tmp_path / "store")
    wanted = [Wanted(Joins(label), label) for label in "abc"]
    outcome = run(wanted, store, workers=0, cohort=8)
    assert outcome.full
    assert (outcome.done, len(outcome.failures)) == (1, 2)
    monkeypatch.undo()
    assert len(plan(wanted, store).nodes) == 2


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_real_disk_that_gets_full(small_disk):
    """Small stages fit, a large one does not; when there is room again only what is missing is done."""
    store = Store(small_disk / "store")
    wanted = [*others(3), Wanted(Fake("big", {"r": Fake("root")}, size=2**19 + 1), "big")]
    wanted += [Wanted(Fake(f"late{i}", {"b": wanted[-1].stage}), f"late {i}") for i in range(2)]
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 2**20)
    outcome = run(wanted, store)
    assert outcome.full
    assert [f.label for f in outcome.failures] == ["big"]
    assert outcome.done <= 4
    assert not drafts(store)
    ballast.unlink()
    shutil.rmtree(small_disk / "failures", ignore_errors=True)
    wanted = [Wanted(Fake("smaller", {"r": Fake("root")}), "smaller"), *others(3)]
    before = outcome.done
    outcome = run(wanted, Store(store.root))
    assert not outcome.failures
    assert outcome.done == 5 - before
