"""One worker process: takes stages from a pipe, runs them, answers. Knows nothing of graphs."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

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


def work(pipe: Connection, root: Path, threads: int) -> None:
    """Main function of a worker process: until the pipe closes, receive a group of stages, run it as one, answer.

    Answers are ``("progress", done, total, note)``, ``("said", text)``, and at the end of each group that of
    `experiments.engine.base.attempt`.

    Args:
        pipe: to the parent.
        root: of the store.
        threads: for torch.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    prepare(threads, pipe.send)

    from experiments.engine.base import attempt
    from experiments.store import Store

    store, told = Store(root), Throttled(pipe.send)
    while True:
        try:
            stages = pipe.recv()
        except EOFError:
            return
        pipe.send(attempt(stages, store, told))


def prepare(threads: int, send: Send) -> None:
    """Make this process a worker: so many threads, and of all warnings only what the store has to say, sent as
    ``("said", text)``."""
    warnings.simplefilter("ignore")

    import torch

    from experiments.store import StoreWarning

    torch.set_num_threads(threads)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    warnings.simplefilter("always", StoreWarning)
    warnings.showwarning = lambda message, *_args, **_kwargs: send(("said", str(message)))


class Throttled:
    """A `Progress` that sends the latest state now and then, as ``("progress", done, total, note)``.

    Args:
        send: takes it.
    """

    def __init__(self, send: Send) -> None:
        self._send, self._last = send, 0.0

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """See `lm.types.Progress`."""
        now = time.monotonic()
        if now - self._last >= PROGRESS_SECONDS:
            self._last = now
            self._send(("progress", done, total, note))


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
