"""What the attacker does with his student when the API is closed to him."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from attacks.base import Refine, RefineContext
from attacks.compute import Compute, ComputeMeter
from configs.identity import identity
from experiments.stages.harvest import checker, pool_items
from experiments.stages.loading import model_of
from experiments.stages.prompts import prompts_of
from experiments.stages.student import StudentStage
from experiments.stages.training_set import examples_of
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.seeds import derived_seed, generator
from student.base import StudentSpec
from tasks.base import Task

if TYPE_CHECKING:
    from lm.examples import Examples
    from lm.language_model import LanguageModel
    from student.objectives.base import Objective


@dataclass(frozen=True)
class RefineStage(Stage):
    """Runs `Refine` on a fitted student.

    Args:
        student: to start from.
        refine: what is done.
        compute: what may be spent on it.
        max_tokens: of a response.
        seed: of the cell.
    """

    name: ClassVar[str] = "refine"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 15.0
    part: ClassVar[str] = "student"

    student: StudentStage
    refine: Refine
    compute: Compute
    max_tokens: int
    seed: int

    @property
    def task(self) -> Task:
        """The task of the student."""
        return self.student.task

    @property
    def spec(self) -> StudentSpec:
        """That of the student."""
        return self.student.spec

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {
            "refine": identity(self.refine),
            "compute": identity(self.compute),
            "checkable": list(self.task.checkable),
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }

    def cohort_key(self) -> str:
        """See `Stage.cohort_key`: alone; what is scored of it may be scored with others."""
        return ""

    def inputs(self) -> dict[str, Stage]:
        """The student, and what it was trained on."""
        return {"student": self.student, "training_set": self.student.training_set}

    def run(self, context: Context) -> Artifact:
        """Weights of the refined student, and what they took."""
        student = model_of(self.student, context.inputs["student"])
        harvest = self.student.training_set.harvest
        spending = ComputeMeter(self.compute, context.inputs["training_set"].meta.get("spent", {}))
        items, _ = pool_items(self.task, harvest.budget, harvest.seed)
        prompts = prompts_of(self.task, items, student)

        def fit(
            rows: Examples, start: LanguageModel | None = None, objective: Objective | None = None, seed: int = 0
        ) -> LanguageModel:
            spending.book(steps=self.spec.steps)
            named = (self.name, "fit") if seed == 0 else (self.name, "fit", str(seed))
            learnt = objective or self.student.objective
            drawn = derived_seed(self.seed, *named)
            fitted = self.spec.fit(start or student, rows, learnt, drawn, context.progress)
            return self.spec.load(self.task, fitted.weights, self.seed)

        found = self.refine.run(
            RefineContext(
                student=student,
                texts=prompts.texts,
                family=np.array([item.family for item in items], object),
                prompts=prompts.tokens,
                check=checker(self.task, items),
                tools=prompts.tools,
                data=examples_of(context.inputs["training_set"]),
                fit=fit,
                compute=spending,
                rng=generator(self.seed, self.name, self.refine.name),
                progress=context.progress,
                max_tokens=self.max_tokens,
            )
        )
        meta = {"own_samples": spending.samples, "own_tokens": spending.tokens, "own_steps": spending.steps}
        return Artifact(
            tensors={"weights": self.spec.stored(found.model), "refining": {"curve": found.curve}}, meta=meta
        )
