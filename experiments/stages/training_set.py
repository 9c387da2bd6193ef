"""What the attacker makes of what he got: responses become training rows, cleaned by his recover steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from attacks.base import Recover, RecoverContext
from attacks.budget import allocate
from attacks.examples import to_examples
from configs.identity import identity
from experiments.stages.harvest import HarvestStage, harvested_of, pool_items
from experiments.stages.loading import model_of
from experiments.stages.prompts import draw, prompts_of, reference_examples, shares
from experiments.stages.student_view import for_student
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.examples import Examples, from_arrays, to_arrays
from lm.seeds import derived_seed, generator
from student.objectives.base import Objective
from student.translate import foreign_share

if TYPE_CHECKING:
    from experiments.store.entry import Entry
    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class TrainingSetStage(Stage):
    """Applies the recover steps in order, then puts the rows into the student's own tokens."""

    name: ClassVar[str] = "training_set"
    version: ClassVar[int] = 2
    seconds: ClassVar[float] = 1.0

    harvest: HarvestStage
    recover: Mapping[str, Recover]
    objective: Objective
    seed: int

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        checkable = {"checkable": list(self.harvest.task.checkable)} if self.recover else {}
        return {
            **checkable,
            "recover": [identity(step) for step in self.recover.values()],
            "uses_trace": self.objective.uses_trace,
            "needs_top_logprobs": self.objective.needs_top_logprobs,
            "seed": self.seed,
        }

    def inputs(self) -> dict[str, Stage]:
        """The harvest, and the two models for their tokenizers."""
        return {"harvest": self.harvest, "served": self.harvest.served, "base": self.harvest.base}

    def run(self, context: Context) -> Artifact:
        """Training rows in the student's tokens."""
        task = self.harvest.task
        served = model_of(self.harvest.served, context.inputs["served"])
        student = model_of(self.harvest.base, context.inputs["base"])
        items, _ = pool_items(task, self.harvest.budget, self.harvest.seed)
        prompts = prompts_of(task, items, served)
        rows = to_examples(harvested_of(context.inputs["harvest"]), prompts.tokens)
        cleaning = RecoverContext(
            texts=prompts.texts,
            check=lambda item, text: (
                task.verify(items[item], text).strict if items[item].family in task.checkable else None
            ),
            format=served.format,
            decode=lambda examples: served.decode(examples.completions),
            public=lambda n: self._public(n, served),
            rng=generator(self.seed, self.name),
        )
        counts = {"harvested": len(rows)}
        for name, step in self.recover.items():
            rows = step.apply(rows, cleaning)
            counts[name] = len(rows)
        rows = for_student(rows, served, student, self.objective)
        foreign = foreign_share(rows.prompts, student)
        return Artifact(tensors={"examples": to_arrays(rows)}, meta={"rows_after": counts, "foreign_share": foreign})

    def _public(self, n: int, served: LanguageModel) -> Examples:
        task = self.harvest.task
        counts = allocate(n, shares(task, self.harvest.budget.mix))
        return reference_examples(draw(task, "public", counts, derived_seed(self.seed, "public")), served)


def examples_of(entry: Entry) -> Examples:
    """Training rows of a stored training set."""
    return from_arrays(Examples, entry.arrays("examples"))
