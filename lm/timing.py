"""Where time goes: code of any floor says what it is doing, whoever wants to know collects. Knows no stages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class _Watch:
    """Runs for one category at a time: the innermost."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._open: list[str] = []
        self._since = 0.0

    def enter(self, category: str) -> None:
        self._charge()
        self._open.append(category)

    def leave(self) -> None:
        self._charge()
        self._open.pop()

    def _charge(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now


_watch: ContextVar[_Watch | None] = ContextVar("watch", default=None)


@contextmanager
def timed(category: str) -> Iterator[None]:
    """Count the time of a block, or of a function it decorates, for a category; costs next to nothing where nobody collects.

    What is timed inside counts for the inner category only, so that the sum over categories is the time that passed.
    """
    watch = _watch.get()
    if watch is None:
        yield
        return
    watch.enter(category)
    try:
        yield
    finally:
        watch.leave()


@contextmanager
def collecting() -> Iterator[dict[str, float]]:
    """Seconds by category of what `timed` sees meanwhile in this thread; complete when the block is left."""
    watch = _Watch()
    token = _watch.set(watch)
    try:
        yield watch.seconds
    finally:
        _watch.reset(token)


def collected() -> dict[str, float]:
    """Seconds by category so far, of whoever collects here; those of what is still open are not whole yet."""
    watch = _watch.get()
    return {} if watch is None else dict(watch.seconds)
