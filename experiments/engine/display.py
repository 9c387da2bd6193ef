"""Shows how far a run is: bars on a terminal, a plain line now and then elsewhere. Knows the graph's times, runs nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from experiments.engine.base import Display
from experiments.engine.graph import StageGraph
from experiments.engine.remaining import Remaining

PLAIN_SECONDS = 15.0
"""Off a terminal, a line at least this far apart."""


class PlainDisplay(Display):
    """Lines of text, at most one every `PLAIN_SECONDS` besides failures.

    Args:
        graph: what is run.
        workers: how many groups of stages run at a time.
        console: where to write.
    """

    def __init__(self, graph: StageGraph, workers: int, console: Console) -> None:
        self._graph, self._clock, self._console = graph, Remaining(graph, workers), console
        self._groups = _Groups()
        self._notes: dict[str, str] = {}
        self._last = time.monotonic()

    def started(self, keys: Sequence[str]) -> None:
        """See `Display`."""
        self._clock.started(keys)
        self._groups.add(keys)
        self._notes[keys[0]] = named(self._graph, keys)

    def progressed(self, key: str, done: int, total: int, note: str) -> None:
        """See `Display`."""
        self._notes[key] = f"{named(self._graph, self._groups.of(key))} {done}/{total} {note}".strip()
        self._tell()

    def finished(self, key: str, seconds: float) -> None:
        """See `Display`."""
        self._clock.finished(key, seconds)
        self._over(key)
        self._tell(last=self._clock.over)

    def failed(self, key: str, error: str, blocked: Sequence[str]) -> None:
        """See `Display`."""
        self._clock.dropped(key, blocked)
        self._over(key)
        self.said(failure_line(self._graph, key, error, len(blocked)))

    def returned(self, key: str) -> None:
        """See `Display`."""
        self._clock.returned(key)
        self._over(key)

    def said(self, text: str) -> None:
        """See `Display`."""
        self._console.print(text, markup=False, highlight=False)

    def _over(self, key: str) -> None:
        if (first := self._groups.leave(key)) is not None:
            self._notes.pop(first, None)

    def _tell(self, last: bool = False) -> None:
        now = time.monotonic()
        if last or now - self._last >= PLAIN_SECONDS:
            self._last = now
            running = f"; {'; '.join(self._notes.values())}" if self._notes else ""
            self.said(f"{self._clock.state()}, {duration(self._clock.left())} left{running}")


class BarDisplay(Display):
    """Progress bars: one for all stages, one for each group that is running.

    Args:
        graph: what is run.
        workers: how many groups of stages run at a time.
        progress: rich's bars.
    """

    def __init__(self, graph: StageGraph, workers: int, progress: Progress) -> None:
        self._graph, self._clock, self._progress = graph, Remaining(graph, workers), progress
        self._groups = _Groups()
        self._bars: dict[str, TaskID] = {}
        self._all = progress.add_task("stages", total=max(self._clock.total, 1), note="")

    def started(self, keys: Sequence[str]) -> None:
        """See `Display`."""
        self._clock.started(keys)
        self._groups.add(keys)
        name = named(self._graph, keys)
        self._bars[keys[0]] = self._progress.add_task(f"  {name}", total=None, note=self._label(keys[0]))

    def progressed(self, key: str, done: int, total: int, note: str) -> None:
        """See `Display`."""
        if key in self._bars:
            self._progress.update(self._bars[key], completed=done, total=total, note=note or self._label(key))
            self._tell()

    def finished(self, key: str, seconds: float) -> None:
        """See `Display`."""
        self._clock.finished(key, seconds)
        self._over(key)

    def failed(self, key: str, error: str, blocked: Sequence[str]) -> None:
        """See `Display`."""
        self._clock.dropped(key, blocked)
        self._over(key)
        self.said(failure_line(self._graph, key, error, len(blocked)))

    def returned(self, key: str) -> None:
        """See `Display`."""
        self._clock.returned(key)
        self._over(key)

    def said(self, text: str) -> None:
        """See `Display`."""
        self._progress.console.print(text, markup=False, highlight=False)

    def _label(self, key: str) -> str:
        node = self._graph.nodes.get(key)
        return "" if node is None else node.label

    def _over(self, key: str) -> None:
        first = self._groups.leave(key)
        if first is not None and (bar := self._bars.pop(first, None)) is not None:
            self._progress.remove_task(bar)
        self._tell()

    def _tell(self) -> None:
        note = f"{self._clock.state()}, about {duration(self._clock.left())} left"
        self._progress.update(self._all, completed=self._clock.done, note=note)


class _Groups:
    """Which stages run as one: a group is known by the key of its first, and over when all of it are."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._members: dict[str, tuple[str, ...]] = {}
        self._open: Counter[str] = Counter()

    def add(self, keys: Sequence[str]) -> None:
        self._first.update(dict.fromkeys(keys, keys[0]))
        self._members[keys[0]] = tuple(keys)
        self._open[keys[0]] = len(keys)

    def of(self, first: str) -> tuple[str, ...]:
        return self._members.get(first, (first,))

    def leave(self, key: str) -> str | None:
        """Take a stage out; the name of its group if that is over now."""
        first = self._first.pop(key, None)
        if first is None:
            return None
        self._open[first] -= 1
        if self._open[first]:
            return None
        del self._open[first], self._members[first]
        return first


@contextmanager
def display_of(graph: StageGraph, workers: int, console: Console) -> Iterator[Display]:
    """Bars where the console is a terminal, lines elsewhere."""
    if not console.is_terminal:
        yield PlainDisplay(graph, workers, console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    with Progress(*columns, console=console, transient=True, expand=True) as progress:
        yield BarDisplay(graph, workers, progress)


class SilentDisplay(Display):
    """Shows nothing; for tests and for code that calls an engine itself."""


def named(graph: StageGraph, keys: Sequence[str]) -> str:
    """What stages that run as one are called: their kind, and how many they are. One that the graph does not have was found
    to be lost and is made again."""
    node = graph.nodes.get(keys[0])
    kind = node.stage.name if node is not None else "again"
    return f"{kind} x{len(keys)}" if len(keys) > 1 else kind


def failure_line(graph: StageGraph, key: str, error: str, blocked: int) -> str:
    """What is said at once when a stage fails."""
    node = graph.nodes.get(key)
    name = f"{node.stage.name} ({node.label})" if node is not None else key
    rest = f"; {blocked} stages that need it are given up" if blocked else ""
    return f"failed: {name}: {error}{rest}"


def duration(seconds: float) -> str:
    """Seconds as people say them: 45 s, 3 min, 2 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
