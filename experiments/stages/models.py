"""The models a cell starts from: the teacher, and the base student that everybody can have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from configs.identity import identity
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.model_spec import ModelSpec
from lm.seeds import derived_seed
from lm.underway import saving_as
from student.base import StudentSpec
from tasks.base import Task


@dataclass(frozen=True)
class TeacherStage(Stage):
    """Trains or fetches the teacher of one seed."""

    name: ClassVar[str] = "teacher"
    version: ClassVar[int] = 2
    seconds: ClassVar[float] = 60.0
    part: ClassVar[str] = "teacher"

    task: Task
    spec: ModelSpec
    seed: int

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {"task": identity(self.task), "spec": identity(self.spec), "seed": self.seed}

    def inputs(self) -> dict[str, Stage]:
        """None."""
        return {}

    def run(self, context: Context) -> Artifact:
        """Weights of the teacher."""
        with self.spec.named(self.part), saving_as(self.name):
            weights = self.spec.train(self.task, derived_seed(self.seed, self.name), context.progress)
        return Artifact(tensors={"weights": weights})


@dataclass(frozen=True)
class BaseStage(Stage):
    """Trains or fetches the student's base model on public data."""

    name: ClassVar[str] = "base"
    version: ClassVar[int] = 2
    seconds: ClassVar[float] = 10.0
    part: ClassVar[str] = "student"

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
        with self.spec.named(self.part), saving_as(self.name):
            weights = self.spec.train(self.task, derived_seed(self.seed, self.name), context.progress)
        return Artifact(tensors={"weights": weights})
