"""What the attacker does with his student when the API is closed to him."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from attacks.base import Refine, RefineContext
from attacks.compute import Compute, ComputeMeter
from configs.identity import identity
from experiments.stages.harvest import checker, erring, pool_items, undeclared
from experiments.stages.loading import model_of
from experiments.stages.prompts import prompts_of
from experiments.stages.student import StudentStage
from experiments.stages.training_set import TrainingSetStage, examples_of
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.seeds import derived_seed, generator
from lm.underway import saving_as
from student.base import StudentSpec
from student.objectives.base import Objective
from tasks.base import Task

if TYPE_CHECKING:
    from lm.examples import Examples
    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class RefineStage(Stage):
    """Runs one `Refine` on a student. Several are stages one after another, on one account of own compute.

    Args:
        student: to start from: a fitted one, or one that was refined before.
        refine: what is done.
        compute: what may be spent on it.
        max_tokens: of a response.
        seed: of the cell.
    """

    name: ClassVar[str] = "refine"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 15.0
    part: ClassVar[str] = "student"

    student: StudentStage | RefineStage
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

    @property
    def objective(self) -> Objective:
        """That of the student."""
        return self.student.objective

    @property
    def training_set(self) -> TrainingSetStage:
        """What the student was fitted to, before anything was refined."""
        return self.student.training_set

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {
            "refine": identity(self.refine),
            "compute": identity(self.compute),
            **({"checkable": list(self.task.checkable)} if self.refine.checks else {}),
            **(erring(self.training_set.harvest.budget) if self.refine.checks else {}),
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }

    def cohort_key(self) -> str:
        """See `Stage.cohort_key`: alone; what is scored of it may be scored with others."""
        return ""

    def inputs(self) -> dict[str, Stage]:
        """The student, and what it was trained on."""
        return {"student": self.student, "training_set": self.training_set}

    def run(self, context: Context) -> Artifact:
        """Weights of the refined student, and what they took."""
        student = model_of(self.student, context.inputs["student"])
        harvest = self.training_set.harvest
        spending = ComputeMeter(self.compute, self._spent(context))
        items, _ = pool_items(self.task, harvest.budget, harvest.seed)
        prompts = prompts_of(self.task, items, student)
        checks = checker(self.task, items, harvest.budget, harvest.seed) if self.refine.checks else undeclared("refine")

        fits = count(1)

        def fit(
            rows: Examples, start: LanguageModel | None = None, objective: Objective | None = None, seed: int = 0
        ) -> LanguageModel:
            spending.book(steps=self.spec.steps)
            named = (self.name, "fit") if seed == 0 else (self.name, "fit", str(seed))
            learnt = objective or self.objective
            drawn = derived_seed(self.seed, *named)
            with saving_as(f"{self.name}-fit{next(fits)}"):
                fitted = self.spec.fit(start or student, rows, learnt, drawn, context.progress)
            return self.spec.load(self.task, fitted.weights, self.seed)

        with saving_as(self.name):
            found = self.refine.run(
                RefineContext(
                    student=student,
                    texts=prompts.texts,
                    family=np.array([item.family for item in items], object),
                    prompts=prompts.tokens,
                    check=checks,
                    tools=prompts.tools,
                    data=examples_of(context.inputs["training_set"]),
                    fit=fit,
                    compute=spending,
                    rng=generator(self.seed, self.name, self.refine.name),
                    progress=context.progress,
                    max_tokens=self.max_tokens,
                )
            )
        meta = {f"own_{what}": number for what, number in spending.spent.items()}
        return Artifact(
            tensors={"weights": self.spec.stored(found.model), "refining": {"curve": found.curve}}, meta=meta
        )

    def _spent(self, context: Context) -> Mapping[str, int]:
        """What recover steps, or refine steps before this one, have spent of the attacker's own compute."""
        if isinstance(self.student, StudentStage):
            spent: Mapping[str, int] = context.inputs["training_set"].meta.get("spent", {})
            return spent
        before = context.inputs["student"].meta
        return {what: int(before[f"own_{what}"]) for what in ("samples", "tokens", "steps")}
