"""Cheap stages for tests of the store and the engines."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage


@dataclass(frozen=True)
class Fake(Stage):
    """Adds up its inputs. ``marks`` is a folder in which every run leaves a file, so that runs can be counted."""

    name: ClassVar[str] = "fake"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 0.1

    label: str
    needs: Mapping[str, Stage] = field(default_factory=dict)
    marks: str = ""
    sleep: float = 0.0
    size: int = 4

    def config(self) -> dict[str, Any]:
        return {"label": self.label, "size": self.size}

    def inputs(self) -> dict[str, Stage]:
        return dict(self.needs)

    def run(self, context: Context) -> Artifact:
        if self.marks:
            (Path(self.marks) / f"{self.label}-{os.getpid()}-{time.monotonic_ns()}").touch()
        context.progress(0, 1, "working")
        time.sleep(self.sleep)
        total = sum(float(e.arrays("data")["x"].sum()) for e in context.inputs.values()) + len(self.label)
        values = np.arange(self.size, dtype=np.float32) + np.float32(total)
        table = pl.DataFrame({"label": [self.label], "total": [total]})
        return Artifact({"data": {"x": values}}, {"row": table}, {"label": self.label})


@dataclass(frozen=True)
class Raises(Fake):
    """Raises."""

    name: ClassVar[str] = "raises"

    def run(self, context: Context) -> Artifact:
        raise RuntimeError(f"no luck with {self.label}")


@dataclass(frozen=True)
class DiesOnce(Fake):
    """Kills its process the first time, unless ``always``."""

    name: ClassVar[str] = "dies"

    always: bool = False

    def run(self, context: Context) -> Artifact:
        mark = Path(self.marks) / f"died-{self.label}"
        if self.always or not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(context)


def runs(marks: Path) -> dict[str, int]:
    """How often each stage ran."""
    counted: dict[str, int] = {}
    for path in marks.iterdir():
        label = path.name.split("-")[0]
        counted[label] = counted.get(label, 0) + 1
    return counted


@dataclass(frozen=True)
class Joins(Fake):
    """Runs together with others of its kind; leaves a mark with the size of each group, and raises in company with "bad"."""

    name: ClassVar[str] = "joins"

    def cohort_key(self) -> str:
        return "all"

    def run(self, context: Context) -> Artifact:
        if self.label == "bad":
            raise RuntimeError("no luck with bad")
        return super().run(context)

    @classmethod
    def run_together(cls, stages: Sequence[Joins], contexts: Sequence[Context]) -> list[Artifact]:
        if stages[0].marks:
            (Path(stages[0].marks) / f"group{len(stages)}-{time.monotonic_ns()}").touch()
        return super().run_together(stages, contexts)
