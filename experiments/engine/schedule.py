"""Which stage next, and what follows from one that is done, failed or lost its input. Starts nothing itself."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.engine.base import Display, Failure, Outcome, Raised, Ready
from experiments.engine.graph import Graph, Node, plan
from experiments.engine.queue import Queue
from experiments.store import Store, StoreFullError

if TYPE_CHECKING:
    from experiments.stage import Stage


@dataclass
class Schedule:
    """The state of a graph that is being run.

    Args:
        graph: what is to be done.
        store: where results are.
        workers: how many groups of stages run at a time.
        display: is told of every change.
        ready: is called when a wanted result is there.
        cohort: most stages of one company in a group.
    """

    graph: Graph
    store: Store
    workers: int
    display: Display
    ready: Ready
    cohort: int = 1
    waiting: dict[str, Node] = field(init=False)
    running: dict[str, Node] = field(init=False, default_factory=dict)
    done: set[str] = field(init=False, default_factory=set)
    failures: dict[str, Failure] = field(init=False, default_factory=dict)
    blocked: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.waiting = dict(self.graph.nodes)
        self._wanted = {w.stage.key: w for w in self.graph.wanted}
        self._dependents = self.graph.dependents()
        self._missing = {key: set(node.needs) for key, node in self.waiting.items()}
        self._lost: dict[str, int] = {}
        self._alone: set[str] = set()
        self._queue = Queue()
        self._left = sum(node.seconds for node in self.waiting.values())
        self._start = time.monotonic()
        for node in self.waiting.values():
            if not node.needs:
                self._offer(node)
        for key in self.graph.reused & self._wanted.keys():
            self.ready(self._wanted[key])

    def __bool__(self) -> bool:
        """Whether anything is running or may still start."""
        return bool(self.running or self.waiting)

    def next(self) -> tuple[Node, ...]:
        """Take the ready stages that should start now, as one; () where none is ready.

        A full cohort goes first. Otherwise a chain so long that it would end last, or else the earliest cell, so that rows
        come early, and within it the longest chain; stages that could be joined by more of their company come last.
        """
        group = self._queue.take(self.cohort, lambda longest: longest * self.workers >= self._left)
        for node in group:
            self.running[node.stage.key] = self.waiting.pop(node.stage.key)
            self.display.started(node.stage.key)
        return group

    def finished(self, key: str, seconds: float) -> None:
        """A stage is done and stored."""
        self._left -= self.running.pop(key).seconds
        self.done.add(key)
        for dependent in self._dependents[key]:
            self._missing[dependent].discard(key)
            if not self._missing[dependent] and dependent in self.waiting:
                self._offer(self.waiting[dependent])
        self.display.finished(key, seconds)
        if key in self._wanted:
            self.ready(self._wanted[key])

    def failed(self, key: str, raised: Raised) -> None:
        """A stage raised: keep the story, give up all that depends on it.

        Raises:
            StoreFullError: what it raised was a full disk.
        """
        if raised.full:
            raise StoreFullError(self.store.root)
        node = self.running.pop(key)
        self._left -= node.seconds
        path = self.store.failure_path(node.stage)
        self.failures[key] = Failure(node.stage.name, key, node.label, raised.error, path, raised.user)
        _write(path, node, raised)
        before = len(self.blocked)
        self._block(key)
        self.display.failed(key, raised.error, len(self.blocked) - before)

    def lost(self, key: str, needed: str) -> None:
        """A stage found a stored input missing or corrupt: plan that input again, and the stage after it."""
        node = self.running.pop(key)
        self._lost[key] = self._lost.get(key, 0) + 1
        if self._lost[key] > 3:
            self.running[key] = node
            self.failed(
                key, Raised("its stored inputs keep getting lost", "another process or the disk damages the store")
            )
            return
        self.waiting[key] = node
        if needed in self.waiting or needed in self.running:
            self._wait_for(key, needed)
            return
        stage = next(s for s in node.stage.inputs().values() if s.key == needed)
        self._add(stage, node)
        if needed in self.waiting:
            self._wait_for(key, needed)
        else:
            self._offer(node)

    def again(self, keys: Iterable[str]) -> None:
        """Put running stages back, each to be tried once more without company: what one does is then seen of that one."""
        for key in keys:
            self._alone.add(key)
            self.waiting[key] = self.running.pop(key)
            self._offer(self.waiting[key])

    def outcome(self) -> Outcome:
        """What became of the graph so far."""
        spent = time.monotonic() - self._start
        return Outcome(len(self.done), tuple(self.failures.values()), frozenset(self.blocked), spent)

    def _offer(self, node: Node) -> None:
        """A waiting stage has all its inputs."""
        company = "" if self.cohort == 1 or node.stage.key in self._alone else node.stage.company()
        self._queue.put(node, f"{node.stage.name}/{company}" if company else "")

    def _wait_for(self, key: str, needed: str) -> None:
        self._missing[key].add(needed)
        if key not in self._dependents[needed]:
            self._dependents[needed].append(key)

    def _add(self, stage: Stage, node: Node) -> None:
        from experiments.engine.graph import Wanted

        for key, extra in plan([Wanted(stage, node.label)], self.store).nodes.items():
            if key in self.waiting or key in self.running:
                continue
            self.done.discard(key)
            self.waiting[key] = Node(
                extra.stage, extra.needs, node.label, node.cell, extra.seconds, extra.remaining + node.remaining
            )
            self._left += extra.seconds
            self._dependents.setdefault(key, [])
            self._missing[key] = set(extra.needs)
            for needed in extra.needs:
                self._wait_for(key, needed)
            if not extra.needs:
                self._offer(self.waiting[key])

    def _block(self, key: str) -> None:
        for dependent in self._dependents[key]:
            if dependent in self.waiting:
                self._left -= self.waiting.pop(dependent).seconds
                self.blocked.add(dependent)
                self._block(dependent)


def conclude(schedule: Schedule, keys: tuple[str, ...], answer: tuple[Any, ...]) -> None:
    """Tell the schedule what became of a group that ran as one.

    Args:
        schedule: is told.
        keys: of the group's stages.
        answer: ``("finished", {key: seconds})``, ``("lost", key, needed)`` or ``("failed", Raised)``.
    """
    match answer:
        case ("finished", spent):
            for key in keys:
                schedule.finished(key, spent[key])
        case ("lost", loser, needed):
            schedule.again(key for key in keys if key != loser)
            schedule.lost(loser, needed)
        case ("failed", raised) if len(keys) == 1:
            schedule.failed(keys[0], raised)
        case ("failed", _):
            schedule.again(keys)


def _write(path: Path, node: Node, raised: Raised) -> None:
    stage = node.stage
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"stage {stage.name} {stage.key}\nfor {node.label}\nconfig {stage.config()}\n\n{raised.trace}")
