"""Which stage next, and what follows from one that is done, failed or lost its input. Starts nothing itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.engine.base import Display, Failure, Raised, Ready, RunOutcome, Usage
from experiments.engine.graph import Node, StageGraph, plan
from experiments.engine.queue import Queue
from experiments.store.store import Store

if TYPE_CHECKING:
    from experiments.store.stage import Stage


@dataclass
class Schedule:
    """The state of a graph that is being run.

    Args:
        graph: what is to be done.
        store: where results are.
        workers: how many groups of stages run at a time.
        display: is told of every change.
        ready: is called when a wanted result is there.
        cohort: most stages of one cohort in a group.
    """

    graph: StageGraph
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
    full: bool = field(init=False, default=False)
    spent: dict[str, float] = field(init=False, default_factory=dict)

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
        return bool(self.running or (self.waiting and not self.full))

    @property
    def ready_to_start(self) -> bool:
        """Whether `next` has something to give."""
        return bool(self._queue) and not self.full

    def next(self, worker: int | str = "") -> tuple[Node, ...]:
        """Take the ready stages that should start now, as one; () where none is ready, or the disk is full.

        A full cohort goes first. Otherwise a chain so long that it would end last, or else the earliest cell, so that rows
        come early, and within it the longest chain; stages that could be joined by more of their cohort come last.

        Args:
            worker: who will run them, for the log.
        """
        if self.full:
            return ()
        group = self._queue.take(self.cohort, lambda longest: longest * self.workers >= self._left)
        for node in group:
            self.running[node.stage.key] = self.waiting.pop(node.stage.key)
            self._note("start", node, worker=worker, group=len(group))
        if group:
            self.display.started([node.stage.key for node in group])
        return group

    def finished(self, key: str, seconds: float, usage: Usage | None = None) -> None:
        """A stage is done and stored."""
        node = self.running.pop(key)
        self._left -= node.seconds
        self._note("finish", node, seconds=round(seconds, 3), **_used(usage))
        self.done.add(key)
        for dependent in self._dependents[key]:
            self._missing[dependent].discard(key)
            if not self._missing[dependent] and dependent in self.waiting:
                self._offer(self.waiting[dependent])
        self.display.finished(key, seconds)
        if key in self._wanted:
            self.ready(self._wanted[key])

    def failed(self, key: str, raised: Raised, usage: Usage | None = None) -> None:
        """A stage raised: keep the story, give up all that depends on it. Where the disk is full nothing more is started."""
        self.full = self.full or raised.full
        node = self.running.pop(key)
        self._left -= node.seconds
        path = self.store.failure_path(node.stage)
        self.failures[key] = Failure(node.stage.name, key, node.label, raised.error, path, raised.user, raised.trace)
        with contextlib.suppress(OSError):  # a full disk: the story is in the failure as well
            _write(path, node, raised)
        blocked = self._block(key)
        self._note("failure", node, error=raised.error, traceback=str(path), blocked=len(blocked), **_used(usage))
        self.display.failed(key, raised.error, blocked)

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
        self._note("retry", node, why=f"its input {needed} was lost")
        self.display.returned(key)
        if needed in self.waiting or needed in self.running:
            self._wait_for(key, needed)
            return
        stage = next(s for s in node.stage.inputs().values() if s.key == needed)
        self._add(stage, node)
        if needed in self.waiting:
            self._wait_for(key, needed)
        else:
            self._offer(node)

    def again(self, keys: Iterable[str], why: str = "") -> None:
        """Put running stages back, each to be tried once more alone: what one does is then seen of that one."""
        for key in keys:
            self._alone.add(key)
            node = self.waiting[key] = self.running.pop(key)
            self._note("retry", node, why=why)
            self.display.returned(key)
            self._offer(node)

    def used(self, usage: Usage) -> None:
        """Add what a group used."""
        for category, seconds in usage.spent.items():
            self.spent[category] = self.spent.get(category, 0.0) + seconds

    def outcome(self) -> RunOutcome:
        """What became of the graph so far."""
        spent = time.monotonic() - self._start
        failures, blocked = tuple(self.failures.values()), frozenset(self.blocked)
        return RunOutcome(len(self.done), failures, blocked, spent, self.full, self.spent)

    def _note(self, event: str, node: Node, **facts: Any) -> None:
        self.display.noted(event, {"stage": node.stage.name, "key": node.stage.key, "label": node.label, **facts})

    def _offer(self, node: Node) -> None:
        """A waiting stage has all its inputs."""
        cohort_key = "" if self.cohort == 1 or node.stage.key in self._alone else node.stage.cohort_key()
        self._queue.put(node, f"{node.stage.name}/{cohort_key}" if cohort_key else "")

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

    def _block(self, key: str) -> list[str]:
        """Give up all that depends on a stage; the keys."""
        found, open_ = [], [key]
        while open_:
            for dependent in self._dependents[open_.pop()]:
                if dependent in self.waiting:
                    self._left -= self.waiting.pop(dependent).seconds
                    found.append(dependent)
                    open_.append(dependent)
        self.blocked.update(found)
        return found


def conclude(schedule: Schedule, keys: tuple[str, ...], answer: tuple[Any, ...]) -> None:
    """Tell the schedule what became of a group that ran as one.

    Args:
        schedule: is told.
        keys: of the group's stages.
        answer: of `experiments.engine.base.attempt`; the `Usage` at its end may be missing.
    """
    usage = answer[-1] if isinstance(answer[-1], Usage) else None
    if usage is not None:
        schedule.used(usage)
    match answer:
        case ("finished", spent, *_):
            for key in keys:
                schedule.finished(key, spent[key], usage)
        case ("lost", loser, needed, *_):
            schedule.again((key for key in keys if key != loser), "a stage of its group lost an input")
            schedule.lost(loser, needed)
        case ("failed", raised, *_) if len(keys) == 1:
            schedule.failed(keys[0], raised, usage)
        case ("failed", raised, *_) if raised.full:
            _stored_or_failed(schedule, keys, raised, usage)
        case ("failed", raised, *_):
            schedule.again(keys, f"its group raised {raised.error}")


def _stored_or_failed(schedule: Schedule, keys: tuple[str, ...], raised: Raised, usage: Usage | None) -> None:
    """Some of a group may have been stored before the disk was full."""
    for key in keys:
        entry = schedule.store.get(schedule.running[key].stage)
        if entry is not None:
            schedule.finished(key, entry.seconds, usage)
        else:
            schedule.failed(key, raised, usage)


def _used(usage: Usage | None) -> dict[str, Any]:
    return {} if usage is None else {"worker": usage.worker, "peak_mb": round(usage.peak / 2**20, 1)}


def _write(path: Path, node: Node, raised: Raised) -> None:
    stage = node.stage
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"stage {stage.name} {stage.key}\nfor {node.label}\nconfig {stage.config()}\n\n{raised.trace}")
