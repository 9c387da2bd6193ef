"""The models a cell starts from: the teacher, and the base student that everybody can have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from configs.build import describe
from experiments.randomness import derived_seed
from experiments.stage import Artifact, Context, Stage
from lm.types import ModelSpec
from student.base import StudentSpec
from tasks.base import Task


@dataclass(frozen=True)
class TeacherStage(Stage):
    """Trains or fetches the teacher of one seed."""

    name: ClassVar[str] = "teacher"
    version: ClassVar[int] = 2
    seconds: ClassVar[float] = 60.0

    task: Task
    spec: ModelSpec
    seed: int

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {"task": identity(self.task), "spec": describe(self.spec), "seed": self.seed}

    def inputs(self) -> dict[str, Stage]:
        """None."""
        return {}

    def run(self, context: Context) -> Artifact:
        """Weights of the teacher."""
        weights = self.spec.train(self.task, derived_seed(self.seed, self.name), context.progress)
        return Artifact(tensors={"weights": weights})


@dataclass(frozen=True)
class BaseStage(Stage):
    """Trains or fetches the student's base model on public data."""

    name: ClassVar[str] = "base"
    version: ClassVar[int] = 2
    seconds: ClassVar[float] = 10.0

    task: Task
    spec: StudentSpec
    seed: int

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {"task": identity(self.task), "spec": self.spec.base_config(), "seed": self.seed}

    def inputs(self) -> dict[str, Stage]:
        """None."""
        return {}

    def run(self, context: Context) -> Artifact:
        """Weights of the base model."""
        weights = self.spec.train(self.task, derived_seed(self.seed, self.name), context.progress)
        return Artifact(tensors={"weights": weights})


def identity(task: Task) -> dict[str, Any]:
    """What of a task enters a key: its configuration, its version and the content it reads."""
    return {"name": task.name, "version": task.version, "config": describe(task), "content": task.content()}
