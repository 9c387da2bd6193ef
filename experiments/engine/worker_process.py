"""One worker process: takes stages from a pipe, runs them, answers. Knows nothing of graphs."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import forkserver, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
}
"""Settings under which libraries draw no progress bars and give no advice of their own."""

ALLOCATOR = {
    "MALLOC_TOP_PAD_": str(2**26),
    "MALLOC_MMAP_THRESHOLD_": str(2**28),
    "MALLOC_TRIM_THRESHOLD_": str(2**29),
}
"""glibc keeps freed memory instead of returning it after every tensor: training small models takes 4-15 % less time."""

Send = Callable[[tuple[Any, ...]], None]
"""Takes a message to whoever watches this worker."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
POLARS = "POLARS_MAX_THREADS"
PROGRESS_SECONDS = 0.2
"""Progress is told no more often than this."""

WAITING_SECONDS = 0.5
"""A worker that waits for another process shows that it lives as often as this."""

SHOW = signal.SIGUSR1
"""Makes a worker write what all its threads are doing, whether or not Python code gets to run."""

DIE_WITH_PARENT = 1
"""``PR_SET_PDEATHSIG`` of prctl(2)."""


def settings(threads: int) -> dict[str, str]:
    """Environment variables that a worker must find when it first imports the numerical libraries."""
    return {**QUIET, **ALLOCATOR, **dict.fromkeys((*THREADS, POLARS), str(threads))}


@contextlib.contextmanager
def child_environment(threads: int) -> Iterator[None]:
    """While it lasts, processes are started with the `settings` of a worker."""
    values = settings(threads)
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class WorkerPlace(NamedTuple):
    """Where and how a worker works.

    Args:
        root: of the store.
        threads: for torch.
        environment: variables of the parent, those of `settings` included; a forked worker has others.
        stack: the file into which it writes what it is doing when it crashes or is sent `SHOW`.
    """

    root: Path
    threads: int
    environment: dict[str, str]
    stack: Path


def work(pipe: Connection, place: WorkerPlace) -> None:
    """Main function of a worker process: until the pipe closes, receive a group of stages, run it as one, answer.

    Answers are ``("here",)`` when a group has arrived or waits, ``("progress", done, total, note)``, ``("said", text)``,
    ``("warned", text)``, and at the end of each group that of `experiments.engine.base.attempt`.

    Args:
        pipe: to the parent.
        place: where it works.
    """
    _end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(place.environment)
    with place.stack.open("w") as stack:
        faulthandler.enable(stack)
        faulthandler.register(SHOW, stack)
        _serve(pipe, place)


def _serve(pipe: Connection, place: WorkerPlace) -> None:
    from experiments.engine.base import attempt
    from experiments.store.store import Store

    lock = threading.Lock()

    def send(message: tuple[Any, ...]) -> None:
        with lock:
            pipe.send(message)

    prepare(place.threads, send)
    threading.Thread(target=_say_while_waiting, args=(send,), daemon=True).start()
    store, told = Store(place.root), Throttled(send)
    while True:
        try:
            stages = pipe.recv()
        except (EOFError, OSError):
            return
        send(("here",))
        send(attempt(stages, store, told))


def _say_while_waiting(send: Send) -> None:
    """To wait for another process that does the same is no hang, however long it takes."""
    from experiments.store.lease import waiting

    while True:
        time.sleep(WAITING_SECONDS)
        if waiting():
            with contextlib.suppress(OSError):  # the parent has ended, and so will this process
                send(("here",))


def prepare(threads: int, send: Send) -> None:
    """Make this process one that works: so many threads for torch, and warnings are told to whoever watches.

    Args:
        threads: for torch.
        send: is told ``("said", text)`` what a user should read at once, and ``("warned", text)`` all other warnings.
    """
    import torch

    from experiments.store.store import StoreWarning

    def show(message: Warning | str, kind: type[Warning], file: str, line: int, *_: object) -> None:
        if issubclass(kind, StoreWarning):
            send(("said", str(message)))
        else:
            send(("warned", f"{kind.__name__}: {message} ({file}:{line})"))

    torch.set_num_threads(threads)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    warnings.simplefilter("default")
    warnings.simplefilter("always", StoreWarning)
    warnings.showwarning = show  # type: ignore[assignment]


class Throttled:
    """A `Progress` that sends the latest state now and then.

    Args:
        send: where to.
    """

    def __init__(self, send: Send) -> None:
        self._send, self._last = send, 0.0

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """See `lm.types.Progress`."""
        now = time.monotonic()
        if now - self._last >= PROGRESS_SECONDS:
            self._last = now
            self._send(("progress", done, total, note))


def _end_with_parent() -> None:
    """However the parent ends. On Linux the kernel sees to it, so that even a process that hangs does not stay behind."""
    alive = getattr(getattr(forkserver, "_forkserver", None), "_forkserver_alive_fd", None)
    if alive is not None:  # a fork server stays for as long as anybody holds this: only the parent should
        with contextlib.suppress(OSError):
            os.close(alive)
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_wait_and_end, args=(parent.sentinel,), daemon=True).start()


def _wait_and_end(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
