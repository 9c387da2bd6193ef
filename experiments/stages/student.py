"""The student fitted to what was harvested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from configs.identity import identity
from experiments.stages.loading import model_of
from experiments.stages.models import BaseStage
from experiments.stages.training_set import TrainingSetStage, examples_of
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.seeds import derived_seed
from lm.underway import saving_as
from student.base import Fit, Fitted, StudentSpec
from student.objectives.base import Objective
from tasks.base import Task


@dataclass(frozen=True)
class StudentStage(Stage):
    """Fits the student to a training set."""

    name: ClassVar[str] = "student"
    version: ClassVar[int] = 3
    seconds: ClassVar[float] = 8.0
    part: ClassVar[str] = "student"

    base: BaseStage
    training_set: TrainingSetStage
    spec: StudentSpec
    objective: Objective
    seed: int

    @property
    def task(self) -> Task:
        """The task of the base model."""
        return self.base.task

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {"spec": identity(self.spec), "objective": identity(self.objective), "seed": self.seed}

    def inputs(self) -> dict[str, Stage]:
        """The base model and the training set."""
        return {"base": self.base, "training_set": self.training_set}

    def cohort_key(self) -> str:
        """See `Stage.cohort_key`."""
        return self.spec.cohort_key()

    def run(self, context: Context) -> Artifact:
        """Weights of the fitted student; an empty training set leaves the base as it is."""
        return self.run_together([self], [context])[0]

    @classmethod
    def run_together(cls, stages: Sequence[StudentStage], contexts: Sequence[Context]) -> list[Artifact]:
        """See `Stage.run_together`."""
        fits, at = [], []
        artifacts: list[Artifact | None] = []
        for stage, context in zip(stages, contexts, strict=True):
            examples = examples_of(context.inputs["training_set"])
            if not examples.weight.any():
                weights = context.inputs["base"].tensors("weights")
                artifacts.append(_stored(Fitted(weights, np.zeros(0, np.float32)), 0))
                continue
            base = model_of(stage.base, context.inputs["base"])
            at.append(len(artifacts))
            artifacts.append(None)
            fits.append(Fit(stage.spec, base, examples, stage.objective, derived_seed(stage.seed, cls.name)))
        with saving_as(cls.name):
            fitted = type(stages[0].spec).fit_together(fits, contexts[0].progress) if fits else []
        for place, fit, found in zip(at, fits, fitted, strict=True):
            artifacts[place] = _stored(found, int((fit.examples.weight > 0).sum()))
        return [artifact for artifact in artifacts if artifact is not None]


LAST_SHARE = 10
"""The training loss of a student is the mean over the last tenth of its steps: single steps are noisy."""


def _stored(fitted: Fitted, learnt: int) -> Artifact:
    """Weights, losses by step, and the facts of a fit: ``student_tokens`` are the distinct ones that were learnt."""
    steps = len(fitted.losses)
    last = fitted.losses[-max(1, steps // LAST_SHARE) :]
    meta = {
        "student_steps": steps,
        "student_tokens": learnt,
        "student_loss": float(last.mean(dtype=np.float64)) if steps else None,
    }
    return Artifact(tensors={"weights": fitted.weights, "training": {"loss": fitted.losses}}, meta=meta)
