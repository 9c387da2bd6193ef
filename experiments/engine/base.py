"""What an engine is: runs the stages of a graph and says what became of them. How and where is its own business."""

from __future__ import annotations

import os
import resource
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from configs.errors import MoatBenchError
from experiments.store.entry import Entry
from experiments.store.partial import Partial
from experiments.store.stage import Context
from experiments.store.store import StoreFullError
from lm.timing import collecting, timed
from lm.underway import watched

if TYPE_CHECKING:
    from experiments.engine.graph import StageGraph, Wanted
    from experiments.store.stage import Stage
    from experiments.store.store import Store
    from lm.types import Progress


@dataclass(frozen=True)
class Failure:
    """A stage that could not be done.

    Args:
        stage: its name.
        key: its key.
        label: the wanted result that needed it first.
        error: in one line, why.
        traceback: the file with the whole story, unless the disk was too full for it.
        user: whether it is the user's to mend (a `MoatBenchError`).
        story: the traceback itself.
    """

    stage: str
    key: str
    label: str
    error: str
    traceback: Path
    user: bool = False
    story: str = ""


@dataclass(frozen=True)
class RunOutcome:
    """What became of a graph.

    Args:
        done: stages that were run.
        failures: stages that failed themselves.
        blocked: keys of stages that could not start because an input failed.
        seconds: wall time.
        full: whether the disk was full, so that nothing more was started.
        spent: seconds that workers spent, by what they did (see `lm.timing`).
    """

    done: int
    failures: tuple[Failure, ...]
    blocked: frozenset[str]
    seconds: float
    full: bool = False
    spent: Mapping[str, float] = field(default_factory=dict)


class Display:
    """Shows how far the work is; this one shows nothing."""

    def started(self, keys: Sequence[str]) -> None:
        """These stages begin, as one."""

    def progressed(self, key: str, done: int, total: int, note: str) -> None:
        """Stages that run as one tell how far they are under the key of the first."""

    def finished(self, key: str, seconds: float) -> None:
        """A stage is stored; its share of the time that its group took."""

    def failed(self, key: str, error: str, blocked: Sequence[str]) -> None:
        """A stage failed, and those that need it are given up."""

    def returned(self, key: str) -> None:
        """A stage that was started will be started again."""

    def said(self, text: str) -> None:
        """Something that a user should read at once."""

    def noted(self, event: str, facts: Mapping[str, Any]) -> None:
        """Something for the log (see `experiments.engine.log`)."""


Ready = Callable[["Wanted"], None]
"""Called in the parent process as soon as a wanted result is stored."""


class Engine(ABC):
    """A frozen dataclass that a `launcher` YAML describes."""

    @abstractmethod
    def run(self, graph: StageGraph, store: Store, display: Display, ready: Ready = lambda _: None) -> RunOutcome:
        """Run every stage of the graph that can be run; a failure stops only what depends on it, and a full disk whatever
        has not been started.

        Raises:
            KeyboardInterrupt: passed on after the workers have been ended and the store is clean.
        """

    def warm(self) -> None:
        """Begin, in the background, whatever takes long to start; called as soon as it is known that there is something to
        run."""
        return

    def fitted(self, graph: StageGraph) -> Engine:
        """The same with as many workers as there is room for, where it was left to it how many."""
        return self

    @abstractmethod
    def width(self) -> int:
        """How many stages run at a time, for estimates."""


class InputLostError(Exception):
    """An input that was stored is not there any more (a corrupt entry was found): it has to be made again.

    Args:
        key: of the stage that needs it.
        needed: key of the input.
    """

    def __init__(self, key: str, needed: str) -> None:
        self.key, self.needed = key, needed
        super().__init__(key, needed)


def run_stages(stages: Sequence[Stage], store: Store, progress: Progress) -> dict[str, float]:
    """Do stages of one class and cohort as one, those not stored by now; the time of each by key, in seconds.

    Args:
        stages: one, or several of one class and cohort.
        store: holds their inputs and takes their results.
        progress: is told how far they are.

    Raises:
        InputLostError: an input is missing.
        Exception: whatever a stage raises.
    """
    with ExitStack() as claims:
        with timed("waiting"):
            for stage in sorted(stages, key=lambda s: s.key):  # the same order everywhere: nobody waits in a circle
                claims.enter_context(store.claim(stage))
        stored = {stage.key: store.get(stage) for stage in stages}
        spent = {key: entry.seconds for key, entry in stored.items() if entry is not None}
        left = [stage for stage in stages if stage.key not in spent]
        if not left:
            return spent
        contexts = [Context(_inputs(stage, store), store, progress) for stage in left]
        start = time.monotonic()
        partial = Partial(store, left[0])
        with watched(progress, partial if len(left) == 1 else None):
            artifacts = type(left[0]).run_together(left, contexts) if len(left) > 1 else [left[0].run(contexts[0])]
        seconds = (time.monotonic() - start) / len(left)
        for stage, artifact in zip(left, artifacts, strict=True):
            store.put(stage, artifact, seconds)
            store.failure_path(stage).unlink(missing_ok=True)
            spent[stage.key] = seconds
        partial.remove()
        return spent


def _inputs(stage: Stage, store: Store) -> dict[str, Entry]:
    inputs: dict[str, Entry] = {}
    for name, needed in stage.inputs().items():
        found = store.get(needed)
        if found is None:
            raise InputLostError(stage.key, needed.key)
        inputs[name] = found
    return inputs


class Usage(NamedTuple):
    """What a group of stages used, as it crosses a process.

    Args:
        worker: id of the process that ran it.
        peak: most memory that this process has had so far, in bytes.
        spent: seconds by what it did.
    """

    worker: int
    peak: int
    spent: dict[str, float]

    @classmethod
    def now(cls, spent: dict[str, float]) -> Usage:
        """Of this process."""
        unit = 1 if sys.platform == "darwin" else 1024
        return cls(os.getpid(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, spent)


SHORT_OF_MEMORY = "out of memory: run fewer stages at a time (--workers 1)"


@dataclass(frozen=True)
class Raised:
    """A stage's exception in plain words, as it crosses a process.

    Args:
        error: class and message in one line.
        trace: the formatted traceback.
        user: whether it was a `MoatBenchError`.
        full: whether the disk was full.
    """

    error: str
    trace: str
    user: bool = False
    full: bool = False

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        """Describe an exception that is being handled."""
        user = isinstance(error, MoatBenchError)
        text = str(error).strip() or type(error).__name__
        line = text if user else f"{type(error).__name__}: {text.splitlines()[0]}"
        if _out_of_memory(error):
            line = f"{line} ({SHORT_OF_MEMORY})"
        return cls(line, "".join(traceback.format_exception(error)), user, isinstance(error, StoreFullError))


def _out_of_memory(error: BaseException) -> bool:
    """torch raises an error of its own on a GPU and a plain RuntimeError on a CPU."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or "can't allocate memory" in str(error)


def attempt(stages: Sequence[Stage], store: Store, progress: Progress) -> tuple[Any, ...]:
    """Run stages as one and say what became of them.

    Returns:
        ``("finished", {key: seconds}, Usage)``, ``("lost", key, needed, Usage)`` or ``("failed", Raised, Usage)``; see
        `experiments.engine.schedule.conclude`.
    """
    with collecting() as spent, timed("other"):
        answer = _attempt(stages, store, progress)
    return *answer, Usage.now(spent)


def _attempt(stages: Sequence[Stage], store: Store, progress: Progress) -> tuple[Any, ...]:
    try:
        return "finished", run_stages(stages, store, progress)
    except InputLostError as error:
        return "lost", error.key, error.needed
    except Exception as error:
        return "failed", Raised.of(error)
