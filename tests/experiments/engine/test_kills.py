"""Sweeps whose processes are killed and stopped at random, and run again until done, give what undisturbed ones give."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from experiments.engine import pool as pools
from experiments.engine.base import RunOutcome
from experiments.engine.display import SilentDisplay
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.store.stage import Stage
from experiments.store.store import Store
from tests.experiments.fakes import Fake, Joins

SEEDS = [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 20))]
"""The first in every run of the tests, all of them under `make test-slow`."""
STOPPED = (3, 7, 11)
"""Seeds whose workers are also stopped, so that patience has to find them."""
ORPHANED = (4, 9, 14, 18, 19)
"""Seeds whose parent is killed."""
MOST_RUNS = 12


def sweep(sleep: float = 0.02, cells: int = 8) -> list[Wanted]:
    """Like real cells: two shared roots, harvests shared by pairs, students that run as one, scores, rows."""
    teacher, base = Fake("teacher", sleep=sleep), Fake("base", sleep=sleep, size=500)
    harvests = [
        Fake(f"harvest{i}" + "+" * i, {"t": teacher, "b": base}, sleep=sleep, size=300) for i in range(cells // 2)
    ]
    wanted = []
    for i in range(cells):
        student = Joins(f"student{i}" + "+" * i, {"h": harvests[i // 2], "b": base}, sleep=sleep / 2)
        scores: dict[str, Stage] = {
            str(j): Fake(f"score{i}{j}", {"m": model}, sleep=sleep / 4) for j, model in enumerate((student, base))
        }
        wanted.append(Wanted(Fake(f"row{i}", {**scores, "h": harvests[i // 2]}), f"cell {i}"))
    return wanted


def table(store: Store, wanted: list[Wanted]) -> tuple[list[bytes], str]:
    """Every byte of every row, and a report of them."""
    places = [store.get(w.stage).path for w in wanted]  # type: ignore[union-attr]
    files = [file for place in places for file in sorted(place.iterdir()) if file.name != "manifest.json"]
    rows = pl.concat([pl.read_parquet(place / "row.parquet") for place in places])
    return [file.read_bytes() for file in files], rows.write_csv()


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("undisturbed"))
    LocalEngine(0).run(plan(sweep(0.0), store), store, SilentDisplay())
    return table(store, sweep())


class Watched(SilentDisplay):
    """Knows which processes work."""

    def __init__(self) -> None:
        self.workers: list[int] = []

    def noted(self, event: str, facts: Mapping[str, Any]) -> None:
        if event == "start" and facts["worker"] not in self.workers:
            self.workers.append(facts["worker"])
        elif event == "kill":
            self.workers.remove(facts["worker"])


@contextlib.contextmanager
def killer(display: Watched, rng: random.Random, signals: list[signal.Signals]) -> Iterator[None]:
    """Takes these signals away one by one and sends them to random workers at random times, as long as there are any."""
    over = threading.Event()

    def strike() -> None:
        while signals and not over.wait(rng.uniform(0.01, 0.2)):
            if workers := list(display.workers):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rng.choice(workers), signals[-1])
                    signals.pop()

    thread = threading.Thread(target=strike)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def run_once(root: Path, display: SilentDisplay) -> RunOutcome:
    store = Store(root)
    return LocalEngine(2, cohort=4, patience=0.6).run(plan(sweep(), store), store, display)


def run_as_parent(root: Path) -> None:
    """A sweep in a process of its own. Its workers are forked from it: that is fast, and the process is as good as new."""
    pools._context = lambda *_: multiprocessing.get_context("fork")  # type: ignore[assignment, return-value]
    run_once(root, SilentDisplay())


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def kill_parents(root: Path, rng: random.Random) -> None:
    """Start sweeps and kill each at a random time, some after one of their workers."""
    for _ in range(rng.randint(1, 3)):
        parent = multiprocessing.get_context("forkserver").Process(target=run_as_parent, args=(root,))
        parent.start()
        time.sleep(rng.uniform(0.1, 0.6))
        workers = children(parent.pid)
        time.sleep(0.2)  # one that has just been forked cannot have asked yet to end with its parent
        if workers and rng.random() < 0.5:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(workers), rng.choice([signal.SIGKILL, signal.SIGSTOP]))
        time.sleep(rng.uniform(0.0, 0.1))
        workers = children(parent.pid)
        parent.kill()
        parent.join()
        deadline = time.monotonic() + 5
        while any(alive(worker) for worker in workers):
            assert time.monotonic() < deadline, "workers outlive their parent"
            time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc to see which processes there are")
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_random_and_run_again_gives_identical_tables(tmp_path, expected, monkeypatch, seed):
    monkeypatch.setattr(pools, "SHOWN", 0.2)
    monkeypatch.setattr(pools, "TICK", 0.2)
    monkeypatch.setattr(pools, "START", 15.0)
    rng, root = random.Random(seed), tmp_path / "store"
    if seed in ORPHANED:
        kill_parents(root, rng)
    signals = [signal.SIGKILL] * rng.randint(2, 5)
    if seed in STOPPED:
        signals += [signal.SIGSTOP] * 2
        rng.shuffle(signals)
    planned = len(signals)
    for _ in range(MOST_RUNS):
        display = Watched()
        with killer(display, rng, signals):
            outcome = run_once(root, display)
        if not outcome.failures:
            break
    assert not outcome.failures
    assert seed in ORPHANED or len(signals) < planned, "nobody was killed"
    store = Store(root)
    assert table(store, sweep()) == expected
    assert not plan(sweep(), store).nodes
    assert not list(root.glob("*/.tmp-*"))
    start = time.monotonic()
    for stage in {s.key: s for w in sweep() for s in (w.stage, *w.stage.inputs().values())}.values():
        with store.claim(stage):
            pass
    assert time.monotonic() - start < 5, "leases of the dead are in the way"
