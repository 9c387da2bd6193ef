"""Runs a graph on this machine, in worker processes that can be killed without harm. The default engine."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from configs.errors import require
from experiments.engine.base import Display, Engine, Ready, RunOutcome, attempt
from experiments.engine.deaths import Deaths
from experiments.engine.display import duration
from experiments.engine.ending import ends_politely
from experiments.engine.graph import StageGraph
from experiments.engine.memory import workers_that_fit
from experiments.engine.pool import WorkerPool, WorkerProcess, warm
from experiments.engine.schedule import Schedule, conclude
from experiments.store.store import Store
from lm.gpu import has_gpu

COHORT = 256
"""Students in one program on a GPU; what its memory does not hold is split further by `student.cohort`."""

PRELOADED = ("experiments.cell_from", "student.cohort", "lm.ensemble")
"""Imported once for all workers: cells, and what the mini models compute with, which planning does not import."""

PATIENCE, SLOWER = 30 * 60.0, 20.0
"""A stage may be silent for so many seconds, or so many times what it should take, whichever is longer."""

NOTHING_SAID = "The process did not say what it was doing: it was stopped, or waited for a device."


@dataclass(frozen=True)
class LocalEngine(Engine):
    """Worker processes on this machine.

    Args:
        workers: how many; None takes one per core, or one where there is a GPU, and fewer where memory is short; 0 runs
            everything in this process.
        cohort: most students that are trained and scored as one program; None takes 1 on a CPU, where that gains nothing
            (docs/performance.md), and `COHORT` on a GPU.
        threads: of each worker. Sums are added up in another order with another number of threads, so results are the same
            bit for bit only for the same number; it is 1 however many workers there are.
        patience: seconds that a stage may go without any sign of life (progress, or its end) before its worker is killed and
            the stage tried once more; None takes `PATIENCE`, or `SLOWER` times the expected time of the stage where that is
            longer; 0 waits for ever. Without workers nobody watches.
    """

    workers: int | None = None
    threads: int = 1
    cohort: int | None = None
    patience: float | None = None

    def __post_init__(self) -> None:
        require(self.threads >= 1, "threads", self.threads, "must be at least 1")
        require(self.workers is None or self.workers >= 0, "workers", self.workers, "must be at least 0")
        require(self.cohort is None or self.cohort >= 1, "cohort", self.cohort, "must be at least 1")
        require(self.patience is None or self.patience >= 0, "patience", self.patience, "must be at least 0")

    def width(self) -> int:
        """See `Engine.width`."""
        if self.workers is not None:
            return max(self.workers, 1)
        return 1 if has_gpu() else cores_here()

    def fitted(self, graph: StageGraph) -> LocalEngine:
        """See `Engine.fitted`."""
        return self if self.workers is not None else replace(self, workers=workers_that_fit(graph, self.width()))

    def warm(self) -> None:
        """See `Engine.warm`."""
        if self.workers != 0:
            warm(self.threads, PRELOADED)

    def run(self, graph: StageGraph, store: Store, display: Display, ready: Ready = lambda _: None) -> RunOutcome:
        """See `Engine.run`."""
        if not graph.nodes:  # nothing is written, so the store may be there to read only
            return Schedule(graph, store, 1, display, ready, 1).outcome()
        store.sweep()
        width = self.width()
        schedule = Schedule(graph, store, width, display, ready, self.cohort or cohort_here())
        if self.workers == 0:
            return _in_process(schedule, store, display)
        modules = {*PRELOADED, *(type(node.stage).__module__ for node in graph.nodes.values())}
        try:
            with (
                ends_politely(),
                WorkerPool(store.root, min(width, max(len(graph.nodes), 1)), self.threads, modules) as pool,
            ):
                _drive(schedule, pool, display, self.patience)
        finally:
            store.sweep()
        return schedule.outcome()


def _drive(schedule: Schedule, pool: WorkerPool, display: Display, patience: float | None) -> None:
    deaths = Deaths(schedule)
    while schedule:
        while schedule.ready_to_start and len(pool.busy()) < pool.size:
            worker = pool.idle()
            group = schedule.next(worker.pid)
            allowed = allowance(patience, sum(node.seconds for node in group))
            worker.give([node.stage.key for node in group], [node.stage for node in group], allowed)
        for worker in pool.heard():
            try:
                answer = worker.hear()
            except (EOFError, OSError):
                deaths.ended(worker.keys, *_ended(pool, worker))
                continue
            _heard(schedule, worker, answer, display)
        for worker in [worker for worker in pool.busy() if worker.overdue]:
            pool.give_up(worker)
            _, pid, story = _ended(pool, worker)
            how = f"killed after {duration(worker.silent)} without a sign of life"
            deaths.ended(worker.keys, how, pid, story or f"{NOTHING_SAID}\n")


def _ended(pool: WorkerPool, worker: WorkerProcess) -> tuple[str, int, str]:
    how, story = pool.remove(worker)
    return how, worker.pid, story


def _heard(schedule: Schedule, worker: WorkerProcess, answer: tuple[Any, ...], display: Display) -> None:
    keys = worker.keys
    assert keys
    match answer:
        case ("here",):
            return
        case ("progress", done, total, note):
            display.progressed(keys[0], done, total, note)
        case ("said", text):
            display.said(text)
        case ("warned", text):
            display.noted("warning", {"worker": worker.pid, "text": text})
        case _:
            worker.keys = ()
            conclude(schedule, keys, answer)


def allowance(patience: float | None, expected: float) -> float:
    """Seconds that stages may show no sign of life.

    Args:
        patience: what the user asks for, see `LocalEngine`.
        expected: seconds that they should take in all.
    """
    if patience is None:
        return max(PATIENCE, SLOWER * expected)
    return patience or inf


def _in_process(schedule: Schedule, store: Store, display: Display) -> RunOutcome:
    while group := schedule.next():
        keys = tuple(node.stage.key for node in group)

        def told(done: int, total: int, note: str = "", key: str = keys[0]) -> None:
            display.progressed(key, done, total, note)

        conclude(schedule, keys, attempt([node.stage for node in group], store, told))
    return schedule.outcome()


def cores_here() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cohort_here() -> int:
    """Students in one program on this machine."""
    return COHORT if has_gpu() else 1
