"""Worker processes: started, listened to, watched for signs of life, killed. Knows nothing of graphs."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any

from experiments.engine.worker_process import SHOW, WorkerPlace, child_environment, work
from lm.gpu import has_gpu

TICK = 1.0
"""Seconds after which the pool looks for workers that are silent."""

START = 120.0
"""Seconds that a new worker may be silent at least: it imports libraries."""

SHOWN = 2.0
"""Seconds that a silent worker has to write what it is doing."""

REAP = 5.0
"""Seconds that the end of a killed process is waited for; one that the kernel cannot end is left behind."""


STUCK = 60.0
"""Seconds that one message to or from a worker may take: it could be stopped in the middle of one."""


@dataclass
class WorkerProcess:
    """One process.

    Args:
        process: the process.
        pipe: to it.
        stack: the file in which it says what it was doing.
        keys: of the stages that it runs; () where it is idle.
        patience: seconds that it may be silent meanwhile.
        silent: seconds since it was last heard of.
        greeted: whether it has ever been heard of.
    """

    process: BaseProcess
    pipe: Connection
    stack: Path
    keys: tuple[str, ...] = ()
    patience: float = inf
    silent: float = 0.0
    greeted: bool = False

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid or 0

    @property
    def overdue(self) -> bool:
        """Whether it has been silent for too long."""
        return self.silent > (self.patience if self.greeted else max(self.patience, START))

    def give(self, keys: Sequence[str], stages: Sequence[Any], patience: float) -> None:
        """Let it run stages as one. Where it is dead, or does not take them, that shows when it is listened to."""
        self.keys, self.patience, self.silent = tuple(keys), patience, 0.0
        try:
            self.pipe.send(list(stages))
        except OSError:
            self.process.kill()

    def hear(self) -> tuple[Any, ...]:
        """Its next answer. Raises EOFError or OSError where it is dead."""
        answer: tuple[Any, ...] = self.pipe.recv()
        self.silent, self.greeted = 0.0, True
        return answer


@dataclass
class WorkerPool:
    """Workers, started when there is something for them to do.

    Args:
        root: of the store.
        size: most workers.
        threads: of each.
        modules: that they will need.
    """

    root: Path
    size: int
    threads: int
    modules: Iterable[str] = ()
    workers: list[WorkerProcess] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._context = _context(self.threads, self.modules)
        self._stacks = tempfile.TemporaryDirectory(prefix="moatbench-", ignore_cleanup_errors=True)
        self._started = 0

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.kill()
        self._stacks.cleanup()

    def busy(self) -> list[WorkerProcess]:
        """Workers that have something to do."""
        return [w for w in self.workers if w.keys]

    def idle(self) -> WorkerProcess:
        """A worker that has nothing to do, started if need be."""
        for worker in self.workers:
            if not worker.keys:
                return worker
        here, there = multiprocessing.Pipe()
        _limit(here)
        self._started += 1
        stack = Path(self._stacks.name) / f"{self._started}.txt"
        with child_environment(self.threads):
            place = WorkerPlace(self.root, self.threads, dict(os.environ), stack)
            process = self._context.Process(target=work, args=(there, place), daemon=True)
            process.start()
        there.close()
        self.workers.append(WorkerProcess(process, here, stack))
        return self.workers[-1]

    def heard(self) -> Iterator[WorkerProcess]:
        """Workers that have something to say, after a `TICK` at the latest.

        Silence counts for as long as this process was awake to listen: after it was suspended, its workers get their time.
        """
        busy, start = {w.pipe: w for w in self.busy()}, time.monotonic()
        ready: list[Any] = wait(list(busy), timeout=TICK)
        passed = min(time.monotonic() - start, TICK)
        for worker in busy.values():
            worker.silent += passed
        return iter([busy[pipe] for pipe in ready])

    def remove(self, worker: WorkerProcess) -> tuple[str, str]:
        """Forget a worker that died, or is killed now: how it ended, to follow "was", and its stack if it wrote one."""
        self.workers.remove(worker)
        worker.process.join(SHOWN)  # its pipe closes a little earlier than it ends
        worker.process.kill()
        _reap([worker])
        code = worker.process.exitcode
        with contextlib.suppress(OSError):
            return _in_words(code), worker.stack.read_text()
        return _in_words(code), ""

    def give_up(self, worker: WorkerProcess) -> None:
        """Kill a worker after it was told to write what it is doing; one that is stopped or deep in the kernel does not."""
        with contextlib.suppress(OSError):
            os.kill(worker.pid, SHOW)
        deadline, before = time.monotonic() + SHOWN, 0
        while time.monotonic() < deadline:
            time.sleep(0.05)
            size = worker.stack.stat().st_size if worker.stack.exists() else 0
            if size and size == before:
                break
            before = size
        worker.process.kill()

    def kill(self) -> None:
        """End all workers at once: whatever they were writing is only a draft."""
        for worker in self.workers:
            worker.process.kill()
        _reap(self.workers)
        self.workers.clear()


def _reap(workers: Sequence[WorkerProcess]) -> None:
    deadline = time.monotonic() + REAP
    for worker in workers:
        worker.process.join(max(deadline - time.monotonic(), 0.0))
        worker.pipe.close()
        if worker.process.exitcode is None:  # in the kernel, on a dead disk say: Python would wait for it when it exits
            multiprocessing.process._children.discard(worker.process)  # type: ignore[attr-defined]


def _limit(pipe: Connection) -> None:
    """Messages that take longer than `STUCK` raise OSError."""
    with socket.socket(fileno=os.dup(pipe.fileno())) as same:
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            same.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", int(STUCK), int(STUCK % 1 * 1e6)))


def _in_words(code: int | None) -> str:
    if code is None:
        return "killed, and the kernel could not end it"
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"gone with exit code {code}"


def warm(threads: int, modules: Iterable[str]) -> None:
    """Let the process that workers are forked from begin to import what they will need; does not wait for it."""
    if isinstance(_context(threads, modules), ForkServerContext):
        with child_environment(threads):
            forkserver.ensure_running()


def end() -> None:
    """End the process that workers are forked from: it may be importing still, and would notice only afterwards that
    nobody needs it. Its workers have been killed, or are none."""
    pid = getattr(getattr(forkserver, "_forkserver", None), "_forkserver_pid", None)
    if pid is not None:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _context(threads: int, modules: Iterable[str]) -> ForkServerContext | SpawnContext:
    """How workers are started: forked from a process that has imported what they need and done nothing else, which takes
    milliseconds instead of seconds. Its libraries found one thread in their settings, so others have to be spawned; and so
    has the one worker of a GPU, which no library may have looked at before a process is forked."""
    if threads != 1 or sys.platform != "linux" or has_gpu():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["experiments.engine.base", *modules])
    return context
