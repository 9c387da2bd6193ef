"""Runs a graph as tasks on a Ray cluster; stages cross to a worker, results only through the store.

The schedule stays in this process, as with `experiments.engine.local`; Ray finds each group of stages a place with the cores
and GPUs it asks for. Every node needs the store under the same path and MoatBench in the same version.
"""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from configs.errors import ConfigError, require
from configs.extras import needs
from experiments.engine.base import Display, Engine, Raised, Ready, RunOutcome, attempt
from experiments.engine.deaths import Deaths
from experiments.engine.graph import StageGraph
from experiments.engine.local import COHORT, cores_here
from experiments.engine.schedule import Schedule, conclude
from experiments.engine.worker_process import Throttled, prepare, settings
from experiments.store.stage import Stage
from experiments.store.store import Store

TICK = 0.5
"""Seconds after which progress is looked at, at the latest."""

REACH = 10.0
"""Seconds within which a cluster elsewhere has to answer."""

OBJECTS = 100 * 2**20
"""Bytes of shared memory of a cluster that is started here: only stages and answers go through it."""

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
"""Nothing is sent home, and no advice is given."""


@dataclass(frozen=True)
class RayEngine(Engine):
    """Tasks on a Ray cluster.

    Args:
        address: None starts a cluster on this machine and ends it afterwards; "auto" joins the one that runs on this
            machine, "HOST:6379" and "ray://HOST:10001" one elsewhere.
        workers: tasks at a time; None takes what fits on the nodes that are there. More make a cluster grow that can.
        cpus: cores of a task.
        gpus: GPUs of a task; fractions share one. Without any, a task runs on the CPU.
        memory_gb: memory that a task reserves; None reserves none.
        threads: of each task; see `experiments.engine.local.LocalEngine`.
        cohort: most students that are trained as one program; None takes 1 on a CPU and `COHORT` on a GPU.
    """

    address: str | None = None
    workers: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    memory_gb: float | None = None
    threads: int = 1
    cohort: int | None = None

    def __post_init__(self) -> None:
        needs("ray", "launcher", "ray", "ray")
        require(self.workers is None or self.workers >= 1, "workers", self.workers, "must be at least 1")
        require(0 <= self.cpus < math.inf, "cpus", self.cpus, "must be at least 0")
        require(0 <= self.gpus < math.inf, "gpus", self.gpus, "must be at least 0")
        require(self.gpus <= 1 or self.gpus % 1 == 0, "gpus", self.gpus, "must be whole where it is more than 1")
        require(self.cpus > 0 or self.gpus > 0, "cpus", self.cpus, "must be above 0 where gpus is 0")
        require(self.memory_gb is None or self.memory_gb > 0, "memory_gb", self.memory_gb, "must be above 0")
        require(self.threads >= 1, "threads", self.threads, "must be at least 1")
        require(self.cohort is None or self.cohort >= 1, "cohort", self.cohort, "must be at least 1")

    def width(self) -> int:
        """See `Engine.width`."""
        return self.workers or max(_room(self), 1)

    def run(self, graph: StageGraph, store: Store, display: Display, ready: Ready = lambda _: None) -> RunOutcome:
        """See `Engine.run`."""
        cohort = self.cohort or (COHORT if self.gpus else 1)
        if not graph.nodes:
            return Schedule(graph, store, 1, display, ready, cohort).outcome()
        store.sweep()
        with _connected(self.address):
            room = _room_now(self)
            if room == 0:
                self._cannot_wait()
                display.said("no node of the cluster has room for a task as it is now: waiting for one that has")
            schedule = Schedule(graph, store, self.workers or max(room, 1), display, ready, cohort)
            tasks = _Tasks(self, store)
            try:
                _drive(schedule, tasks, display)
            finally:
                tasks.cancel()
                store.sweep()
        return schedule.outcome()

    def _cannot_wait(self) -> None:
        """A cluster on this machine does not grow: raise `ConfigError` for what it lacks."""
        if self.address is not None:
            return
        has = _most()
        for field, name, asked in (("cpus", "CPU", self.cpus), ("gpus", "GPU", self.gpus)):
            if asked > has.get(name, 0.0):
                raise ConfigError(f"launcher.{field}", asked, f"this machine has {has.get(name, 0.0):g}")
        raise ConfigError("launcher.memory_gb", self.memory_gb, f"this machine has {has.get('memory', 0) / 2**30:.1f}")


class _Tasks:
    """The tasks that run, by Ray's reference to their answers."""

    def __init__(self, engine: RayEngine, store: Store) -> None:
        import ray

        self._root, self._threads = store.root, engine.threads
        self._mailbox = ray.remote(num_cpus=0, max_restarts=-1)(_Mailbox).remote()
        self._work = ray.remote(_work).options(
            num_cpus=engine.cpus,
            num_gpus=engine.gpus,
            memory=engine.memory_gb and int(engine.memory_gb * 2**30),
            max_retries=0,
            runtime_env={"env_vars": settings(engine.threads)},
        )
        self.keys: dict[Any, tuple[str, ...]] = {}

    def start(self, stages: Sequence[Stage]) -> None:
        """Hand a group of stages to the cluster."""
        reference = self._work.remote(list(stages), self._root, self._threads, self._mailbox)
        self.keys[reference] = tuple(stage.key for stage in stages)

    def messages(self) -> list[tuple[str, tuple[Any, ...]]]:
        """What running tasks have to tell: the first key of each, and the message."""
        import ray

        try:
            told: list[tuple[str, tuple[Any, ...]]] = ray.get(self._mailbox.take.remote(), timeout=TICK)
        except ray.exceptions.RayError:  # the node that held it is gone, or slow: another time
            return []
        return told

    def cancel(self) -> None:
        """End all tasks at once: whatever they were writing is only a draft."""
        import ray

        for reference in self.keys:
            with suppress(Exception):  # the cluster may be what has ended
                ray.cancel(reference, force=True)
        self.keys.clear()
        with suppress(Exception):
            ray.kill(self._mailbox)


def _drive(schedule: Schedule, tasks: _Tasks, display: Display) -> None:
    import ray

    deaths = Deaths(schedule)
    while schedule:
        while len(tasks.keys) < schedule.workers and (group := schedule.next()):
            tasks.start([node.stage for node in group])
        ended, _ = ray.wait(list(tasks.keys), timeout=TICK)
        for key, message in tasks.messages():
            _told(schedule, key, message, display)
        for reference in ended:
            keys = tasks.keys.pop(reference)
            try:
                conclude(schedule, keys, ray.get(reference))
            except ray.exceptions.RayTaskError as error:  # it could not even begin: MoatBench is not there, or another
                conclude(schedule, keys, ("failed", Raised.of(error)))
            except ray.exceptions.RayError as error:
                deaths.ended(keys, f"lost ({type(error).__name__})")


def _told(schedule: Schedule, key: str, message: tuple[Any, ...], display: Display) -> None:
    match message:
        case ("progress", done, total, note) if key in schedule.running:
            display.progressed(key, done, total, note)
        case ("said", text):
            display.said(text)
        case ("warned", text):
            display.noted("warning", {"key": key, "text": text})


class _Mailbox:
    """An actor that keeps what tasks tell until it is asked for."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, tuple[Any, ...]]] = []

    def put(self, key: str, message: tuple[Any, ...]) -> None:
        self._kept.append((key, message))

    def take(self) -> list[tuple[str, tuple[Any, ...]]]:
        kept, self._kept = self._kept, []
        return kept


def _work(stages: list[Stage], root: Path, threads: int, mailbox: Any) -> tuple[Any, ...]:
    """A task: run a group of stages as one. Runs in a process of Ray's, which takes one task after the other."""

    def send(message: tuple[Any, ...]) -> None:
        mailbox.put.remote(stages[0].key, message)

    prepare(threads, send)
    return attempt(stages, _store(root), Throttled(send))


@lru_cache(maxsize=1)
def _store(root: Path) -> Store:
    """Kept from task to task: what it has checked need not be checked again."""
    return Store(root)


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Part of a cluster; one that this process is already part of is used, and left as it is."""
    os.environ |= QUIET | dict(os.environ)  # before Ray is imported

    import ray

    if ray.is_initialized():
        yield
        return
    try:
        _answers(address)
        if address is None:
            ray.init(
                "local",
                num_cpus=cores_here(),
                include_dashboard=False,
                object_store_memory=OBJECTS,
                log_to_driver=False,
                logging_level="ERROR",
            )
        elif address.startswith("ray://"):
            ray.init(address, logging_level="ERROR")
        else:
            ray.init(address, log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError) as error:
        text = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError("launcher.address", address, f"cannot be reached ({text[0]})") from error
    try:
        yield
    finally:
        ray.shutdown()


def _answers(address: str | None) -> None:
    """Raise `OSError` where nobody listens: Ray itself would try for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=REACH).close()


@lru_cache(maxsize=1)
def _room(engine: RayEngine) -> int:
    """How many tasks fit, before anything has been started: of this machine, or of the cluster that runs."""
    if engine.address is None:
        import torch

        return _fit(engine, {"CPU": cores_here(), "GPU": torch.cuda.device_count(), "memory": math.inf})
    with _connected(engine.address):
        return _room_now(engine)


def _room_now(engine: RayEngine) -> int:
    return sum(_fit(engine, has) for has in _nodes())


def _nodes() -> list[dict[str, float]]:
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _most() -> dict[str, float]:
    return max(_nodes(), key=lambda has: has.get("CPU", 0.0), default={})


def _fit(engine: RayEngine, has: dict[str, float]) -> int:
    """How many tasks fit on a node."""
    asked = {"CPU": engine.cpus, "GPU": engine.gpus, "memory": (engine.memory_gb or 0.0) * 2**30}
    shares = [has.get(name, 0.0) / amount for name, amount in asked.items() if amount]
    return int(min(shares))
