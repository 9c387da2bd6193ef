"""Long work with language models, while it is under way: who wants to know how far it is, and where parts that are done
are kept, so that a kill costs minutes. Work that nobody watches goes on as if this module were not there. Knows no stages.

Whoever runs a piece of work opens `watched`; whoever knows what exactly is done names it by `saving_as`, and only what is
named is kept: under one name, equal parts are always the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from lm.types import Progress

if TYPE_CHECKING:
    from torch import Tensor, nn

SAVE_SECONDS = 240.0
"""A fit is kept that often: what a kill costs at most, besides one step."""


class Keep(Protocol):
    """Keeps parts of work; `experiments.store.partial.Partial` does."""

    def get(self, name: str) -> dict[str, Tensor] | None:
        """What was kept under a name; None where there is nothing whole."""
        ...

    def put(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep this, in the place of what was kept under the name before."""
        ...


@dataclass(frozen=True)
class _Watch:
    progress: Progress
    keep: Keep | None
    name: str = ""


class Saved:
    """The kept parts of one piece of work."""

    def __init__(self, keep: Keep, name: str) -> None:
        self._keep, self._name = keep, name

    def get(self, part: str) -> dict[str, Tensor] | None:
        """See `Keep.get`."""
        return self._keep.get(f"{self._name}-{part}")

    def put(self, part: str, tensors: Mapping[str, Tensor]) -> None:
        """See `Keep.put`."""
        self._keep.put(f"{self._name}-{part}", tensors)


_watch: ContextVar[_Watch | None] = ContextVar("under_way", default=None)


@contextmanager
def watched(progress: Progress, keep: Keep | None = None) -> Iterator[None]:
    """Whatever long work is done meanwhile in this thread tells ``progress`` how far it is, and keeps its parts in
    ``keep``."""
    token = _watch.set(_Watch(progress, keep))
    try:
        yield
    finally:
        _watch.reset(token)


@contextmanager
def unwatched() -> Iterator[None]:
    """What is done meanwhile is none of the work: nobody is told of it, and nothing is kept or read."""
    token = _watch.set(None)
    try:
        yield
    finally:
        _watch.reset(token)


@contextmanager
def saving_as(name: str) -> Iterator[None]:
    """Keep parts of the work that is done meanwhile under a name that says all that it depends on."""
    watch = _watch.get()
    token = _watch.set(None if watch is None else replace(watch, name=name))
    try:
        yield
    finally:
        _watch.reset(token)


def saved() -> Saved | None:
    """Where the present work keeps its parts; None where it has no name, or nobody keeps any."""
    watch = _watch.get()
    return Saved(watch.keep, watch.name) if watch is not None and watch.keep is not None and watch.name else None


def takes_long(model: nn.Module) -> bool:
    """Whether work with a model is worth watching and keeping: one of transformers' own. Mini models are done in seconds."""
    return type(model).__module__.startswith(("transformers.", "peft."))


class Pace:
    """How fast work goes, for people: tokens a second, and the time that is left.

    Args:
        total: how much there is to do, in whatever it is counted in.
    """

    def __init__(self, total: int) -> None:
        self._total, self._start, self._tokens = total, time.monotonic(), 0

    def add(self, tokens: int) -> None:
        """So many more tokens were done."""
        self._tokens += tokens

    def note(self, done: float) -> str:
        """Such as "310 tokens/s, 4 min left"; ``done`` of ``total`` are, without what was done before this began."""
        passed = max(time.monotonic() - self._start, 1e-9)
        left = f", {_spelt(passed / done * (self._total - done))} left" if done > 0 else ""
        return f"{self._tokens / passed:,.0f} tokens/s{left}"

    def tell(self, done: float) -> None:
        """Tell whoever watches."""
        watch = _watch.get()
        if watch is not None:
            watch.progress(int(done), self._total, self.note(done))


def _spelt(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
