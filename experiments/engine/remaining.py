"""How much is done and how long the rest will take, for a graph that is being run. Cheap to ask, however large the graph."""

from __future__ import annotations

import heapq
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from experiments.engine.graph import Node, StageGraph


class _Run(NamedTuple):
    """A running stage: since when, and how many run as one with it."""

    since: float
    cohort_key: int


class Remaining:
    """Counts stages and wanted results, and estimates the time left from expected times, corrected by how long the stages of
    each kind really took. What it asks for is known by kind, so that only running stages are looked at one by one.

    Args:
        graph: what is run.
        workers: how many groups of stages run at a time.
    """

    def __init__(self, graph: StageGraph, workers: int) -> None:
        self._nodes, self._workers = dict(graph.nodes), workers
        self._wanted = {w.stage.key for w in graph.wanted}
        self._open = set(self._nodes)
        self._running: dict[str, _Run] = {}
        self._seconds: dict[str, float] = defaultdict(float)
        self._open_of = Counter(node.stage.name for node in self._nodes.values())
        self._longest: dict[str, list[tuple[float, str]]] = defaultdict(list)
        self._spent: dict[str, tuple[float, float]] = {}
        self.total, self.cells = len(self._nodes), len(self._wanted)
        self.done = self.failed = self.given_up = 0
        self.cells_done = len(self._wanted - self._open)
        for key, node in self._nodes.items():
            self._seconds[node.stage.name] += node.seconds
            self._wait(key, node)

    def started(self, keys: Sequence[str]) -> None:
        """Stages begin, as one."""
        now = time.monotonic()
        self._running.update((key, _Run(now, len(keys))) for key in keys)

    def returned(self, key: str) -> None:
        """A stage will be started again."""
        self._running.pop(key, None)
        if key in self._open:
            self._wait(key, self._nodes[key])

    def finished(self, key: str, seconds: float) -> None:
        """A stage took so many seconds."""
        if self._close(key):
            node = self._nodes[key]
            self.done += 1
            self.cells_done += key in self._wanted
            real, expected = self._spent.get(node.stage.name, (0.0, 0.0))
            self._spent[node.stage.name] = (real + seconds, expected + node.seconds)

    def dropped(self, key: str, blocked: Sequence[str] = ()) -> None:
        """A stage failed, and others that need it will not be started."""
        self.failed += 1
        self.given_up += len(blocked)
        for closed in (key, *blocked):
            self._close(closed)

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return not self._open

    @property
    def running(self) -> int:
        """Stages that run."""
        return len(self._running)

    def state(self) -> str:
        """How far everything is, in one line."""
        failed = f", {self.failed} failed" if self.failed else ""
        given_up = f", {self.given_up} given up" if self.given_up else ""
        stages = f"{self.done}/{self.total} stages ({self.running} running{failed}{given_up})"
        return f"{self.cells_done}/{self.cells} cells, {stages}"

    def left(self) -> float:
        """Expected seconds until everything is done."""
        total = sum(self._rate(kind) * seconds for kind, seconds in self._seconds.items())
        longest = max((self._rate(kind) * self._first(kind) for kind in self._longest), default=0.0)
        now = time.monotonic()
        for key, run in self._running.items():
            if (node := self._nodes.get(key)) is not None:
                rate, passed = self._rate(node.stage.name), (now - run.since) / run.cohort_key
                total -= min(passed, node.seconds * rate)
                longest = max(longest, node.remaining * rate - passed)
        return max(total / self._workers, longest, 0.0)

    def _rate(self, kind: str) -> float:
        real, expected = self._spent.get(kind, (1.0, 1.0))
        return real / expected if expected else 1.0

    def _wait(self, key: str, node: Node) -> None:
        heapq.heappush(self._longest[node.stage.name], (-node.remaining, key))

    def _first(self, kind: str) -> float:
        """The longest chain that begins with a stage of this kind that does not run yet."""
        heap = self._longest[kind]
        while heap and (heap[0][1] not in self._open or heap[0][1] in self._running):
            heapq.heappop(heap)
        return -heap[0][0] if heap else 0.0

    def _close(self, key: str) -> bool:
        self._running.pop(key, None)
        if key not in self._open:
            return False
        self._open.discard(key)
        kind = self._nodes[key].stage.name
        self._open_of[kind] -= 1
        self._seconds[kind] = self._seconds[kind] - self._nodes[key].seconds if self._open_of[kind] else 0.0
        return True
