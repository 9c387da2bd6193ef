"""What an engine is: runs the stages of a graph and says what became of them. How and where is its own business."""

from __future__ import annotations

import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from configs.errors import MoatBenchError
from experiments.stage import Context
from experiments.store import Entry, StoreFullError

if TYPE_CHECKING:
    from experiments.engine.graph import Graph, Wanted
    from experiments.stage import Stage
    from experiments.store import Store
    from lm.types import Progress


@dataclass(frozen=True)
class Failure:
    """A stage that could not be done.

    Args:
        stage: its name.
        key: its key.
        label: the wanted result that needed it first.
        error: in one line, why.
        traceback: the file with the whole story.
        user: whether it is the user's to mend (a `MoatBenchError`).
    """

    stage: str
    key: str
    label: str
    error: str
    traceback: Path
    user: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a graph.

    Args:
        done: stages that were run.
        failures: stages that failed themselves.
        blocked: keys of stages that could not start because an input failed.
        seconds: wall time.
    """

    done: int
    failures: tuple[Failure, ...]
    blocked: frozenset[str]
    seconds: float


class Display(Protocol):
    """Shows how far the work is."""

    def started(self, key: str) -> None: ...  # noqa: D102
    def progressed(self, key: str, done: int, total: int, note: str) -> None: ...  # noqa: D102
    def finished(self, key: str, seconds: float) -> None: ...  # noqa: D102
    def failed(self, key: str, error: str, blocked: int) -> None: ...  # noqa: D102
    def said(self, text: str) -> None: ...  # noqa: D102


Ready = Callable[["Wanted"], None]
"""Called in the parent process as soon as a wanted result is stored."""


class Engine(ABC):
    """A frozen dataclass that a `launcher` YAML describes."""

    @abstractmethod
    def run(self, graph: Graph, store: Store, display: Display, ready: Ready = lambda _: None) -> Outcome:
        """Run every stage of the graph that can be run; a failure stops only what depends on it.

        Raises:
            StoreFullError: the disk is full; nothing more is started.
            KeyboardInterrupt: passed on after the workers have been ended and the store is clean.
        """

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
    """Do stages of one class and company as one, those not stored by now; the time of each by key, in seconds.

    Args:
        stages: one, or several of one class and company.
        store: holds their inputs and takes their results.
        progress: is told how far they are.

    Raises:
        InputLostError: an input is missing.
        Exception: whatever a stage raises.
    """
    with ExitStack() as claims:
        for stage in sorted(stages, key=lambda s: s.key):  # the same order everywhere: nobody waits in a circle
            claims.enter_context(store.claim(stage))
        stored = {stage.key: store.get(stage) for stage in stages}
        spent = {key: entry.seconds for key, entry in stored.items() if entry is not None}
        left = [stage for stage in stages if stage.key not in spent]
        if not left:
            return spent
        contexts = [Context(_inputs(stage, store), store, progress) for stage in left]
        start = time.monotonic()
        artifacts = type(left[0]).run_together(left, contexts) if len(left) > 1 else [left[0].run(contexts[0])]
        seconds = (time.monotonic() - start) / len(left)
        for stage, artifact in zip(left, artifacts, strict=True):
            store.put(stage, artifact, seconds)
            store.failure_path(stage).unlink(missing_ok=True)
            spent[stage.key] = seconds
        return spent


def _inputs(stage: Stage, store: Store) -> dict[str, Entry]:
    inputs: dict[str, Entry] = {}
    for name, needed in stage.inputs().items():
        found = store.get(needed)
        if found is None:
            raise InputLostError(stage.key, needed.key)
        inputs[name] = found
    return inputs


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
        return cls(line, "".join(traceback.format_exception(error)), user, isinstance(error, StoreFullError))


def attempt(stages: Sequence[Stage], store: Store, progress: Progress) -> tuple[Any, ...]:
    """Run stages as one and say what became of them: ``("finished", {key: seconds})``, ``("lost", key, needed)`` or
    ``("failed", Raised)``; see `experiments.engine.schedule.conclude`."""
    try:
        return "finished", run_stages(stages, store, progress)
    except InputLostError as error:
        return "lost", error.key, error.needed
    except Exception as error:
        return "failed", Raised.of(error)
