"""Runs a graph on this machine, in worker processes that can be killed without harm. The default engine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from configs.errors import require
from experiments.engine.base import Display, Engine, Outcome, Ready, attempt
from experiments.engine.deaths import Deaths
from experiments.engine.graph import Graph
from experiments.engine.schedule import Schedule, conclude
from experiments.engine.worker import child_environment, work
from experiments.store import Store

COHORT = 256
"""Students in one program on a GPU; what its memory does not hold is split further by `student.cohort`."""


@dataclass(frozen=True)
class LocalEngine(Engine):
    """Worker processes on this machine.

    Args:
        workers: how many; None takes one per core, or one where there is a GPU; 0 runs everything in this process.
        cohort: most students that are trained and scored as one program; None takes 1 on a CPU, where that gains nothing
            (docs/performance.md), and `COHORT` on a GPU.
        threads: of each worker. Sums are added up in another order with another number of threads, so results are the same
            bit for bit only for the same number; it is 1 however many workers there are.
    """

    workers: int | None = None
    threads: int = 1
    cohort: int | None = None

    def __post_init__(self) -> None:
        require(self.threads >= 1, "threads", self.threads, "must be at least 1")
        require(self.workers is None or self.workers >= 0, "workers", self.workers, "must be at least 0")
        require(self.cohort is None or self.cohort >= 1, "cohort", self.cohort, "must be at least 1")

    def width(self) -> int:
        """See `Engine.width`."""
        if self.workers is not None:
            return max(self.workers, 1)
        import torch

        return 1 if torch.cuda.is_available() else _cores()

    def run(self, graph: Graph, store: Store, display: Display, ready: Ready = lambda _: None) -> Outcome:
        """See `Engine.run`."""
        store.sweep()
        width = self.width()
        schedule = Schedule(graph, store, width, display, ready, self.cohort or cohort_here())
        if self.workers == 0:
            return _in_process(schedule, store, display)
        pool = _Pool(store, min(width, max(len(graph.nodes), 1)), self.threads)
        try:
            with _terminates_as_interrupt():
                _drive(schedule, pool, display)
        finally:
            pool.kill()
            store.sweep()
        return schedule.outcome()


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    keys: tuple[str, ...] = ()


class _Pool:
    def __init__(self, store: Store, size: int, threads: int) -> None:
        self._store, self._threads, self.size = store, threads, size
        self._spawn = multiprocessing.get_context("spawn")
        self.workers: list[_Worker] = []

    def idle(self) -> _Worker:
        """A worker that has nothing to do, started if need be."""
        for worker in self.workers:
            if not worker.keys:
                return worker
        here, there = self._spawn.Pipe()
        process = self._spawn.Process(target=work, args=(there, self._store.root, self._threads), daemon=True)
        with child_environment(self._threads):
            process.start()
        there.close()
        self.workers.append(_Worker(process, here))
        return self.workers[-1]

    def busy(self) -> list[_Worker]:
        return [w for w in self.workers if w.keys]

    def remove(self, worker: _Worker) -> int | None:
        """Forget a worker that died; its exit code."""
        self.workers.remove(worker)
        worker.pipe.close()
        worker.process.join()
        return worker.process.exitcode

    def kill(self) -> None:
        """End all workers at once: whatever they were writing is only a draft."""
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.join()
            worker.pipe.close()
        self.workers.clear()


def _drive(schedule: Schedule, pool: _Pool, display: Display) -> None:
    deaths = Deaths(schedule)
    while schedule:
        while len(pool.busy()) < pool.size and (group := schedule.next()):
            worker = pool.idle()
            worker.keys = tuple(node.stage.key for node in group)
            with contextlib.suppress(OSError):  # a dead worker shows when it is waited for
                worker.pipe.send([node.stage for node in group])
        by_pipe: dict[Any, _Worker] = {w.pipe: w for w in pool.busy()}
        for pipe in wait(list(by_pipe)):
            worker = by_pipe[pipe]
            try:
                answer = worker.pipe.recv()
            except (EOFError, OSError):
                _died(pool, worker, deaths)
                continue
            _heard(schedule, worker, answer, display)


def _heard(schedule: Schedule, worker: _Worker, answer: tuple[Any, ...], display: Display) -> None:
    keys = worker.keys
    assert keys
    match answer:
        case ("progress", done, total, note):
            display.progressed(keys[0], done, total, note)
            return
        case ("said", text):
            display.said(text)
            return
    worker.keys = ()
    conclude(schedule, keys, answer)


def _died(pool: _Pool, worker: _Worker, deaths: Deaths) -> None:
    keys = worker.keys
    assert keys
    code = pool.remove(worker)
    how = f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"gone with exit code {code}"
    deaths.ended(keys, how)


def _in_process(schedule: Schedule, store: Store, display: Display) -> Outcome:
    while group := schedule.next():
        keys = tuple(node.stage.key for node in group)

        def told(done: int, total: int, note: str = "", key: str = keys[0]) -> None:
            display.progressed(key, done, total, note)

        conclude(schedule, keys, attempt([node.stage for node in group], store, told))
    return schedule.outcome()


@contextlib.contextmanager
def _terminates_as_interrupt() -> Iterator[None]:
    """While workers run, a polite kill of the parent ends them as Ctrl-C does."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cohort_here() -> int:
    """Students in one program on this machine."""
    import torch

    return COHORT if torch.cuda.is_available() else 1
