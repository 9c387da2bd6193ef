"""Texts for judges to read: what a defended API releases, and what students say, to the same held-out items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from configs.identity import identity
from experiments.stages.loading import model_of
from experiments.stages.prompts import honest_items, prompts_of
from experiments.stages.refine import RefineStage
from experiments.stages.serving import ServingStage
from experiments.stages.settings import Measure
from experiments.stages.student import StudentStage
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.seeds import derived_seed
from lm.types import Sampling
from tasks.base import Item, Task
from teacher.api.schema import Params

TEXTS = 50
"""Most texts of each family."""


@dataclass(frozen=True)
class StudentTextsStage(Stage):
    """What a student says to held-out items, greedily.

    Args:
        model: the student.
        measure: which items.
        max_tokens: of a response.
        seed: of the cell.
    """

    name: ClassVar[str] = "student_texts"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 1.0

    model: StudentStage | RefineStage
    measure: Measure
    max_tokens: int
    seed: int

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {"task": identity(self.model.task), **_sizes(self.measure, self.max_tokens, self.seed)}

    def inputs(self) -> dict[str, Stage]:
        """The student."""
        return {"model": self.model}

    def run(self, context: Context) -> Artifact:
        """``texts``: see `text_table`."""
        lm, task = model_of(self.model, context.inputs["model"]), self.model.task
        items = judged_items(task, self.measure, self.seed)
        prompts = prompts_of(task, items, lm)
        seeds = np.array([derived_seed(self.seed, self.name, item.id) for item in items], np.int64)
        drawn = lm.generate(prompts.tokens, Sampling(0.0, self.max_tokens), seeds, tools=prompts.tools)
        return Artifact(tables={"texts": text_table(task, items, lm.decode(drawn.tokens), drawn.tokens.lengths)})


@dataclass(frozen=True)
class ReleasedTextsStage(ServingStage):
    """What clients of an API get to read, through the defenses that act while it answers.

    Args:
        measure: which items, and the temperature that is asked for.
    """

    name: ClassVar[str] = "released_texts"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 2.0

    measure: Measure = field(default_factory=Measure)

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        sizes = _sizes(self.measure, self.max_tokens, self.seed)
        return {"offer": self.offer.identity(), "temperature": self.measure.temperature, **sizes}

    def run(self, context: Context) -> Artifact:
        """``texts``: see `text_table`; items whose request was refused have none."""
        teacher = model_of(self.teacher, context.inputs["teacher"])
        task = self.teacher.task
        items = judged_items(task, self.measure, self.seed)
        params = Params(self.measure.temperature, self.max_tokens)
        prompts = prompts_of(task, items, teacher)
        responses = self._answers(self.offer, teacher, prompts, params, context, context.store)
        answered = [items[row] for row in responses.request.tolist()]
        table = text_table(task, answered, teacher.decode(responses.tokens), responses.tokens.lengths)
        return Artifact(tables={"texts": table})


TextsStage = StudentTextsStage | ReleasedTextsStage
KINDS: tuple[type[TextsStage], ...] = (StudentTextsStage, ReleasedTextsStage)


def judged_items(task: Task, measure: Measure, seed: int) -> list[Item]:
    """At most `TEXTS` of each family of the items that a student is scored on."""
    items, taken = honest_items(task, measure, "heldout", seed), dict.fromkeys(task.families, 0)
    found = []
    for item in items:
        if taken[item.family] < TEXTS:
            taken[item.family] += 1
            found.append(item)
    return found


def text_table(task: Task, items: Sequence[Item], texts: Sequence[str], tokens: NDArray[np.int64]) -> pl.DataFrame:
    """One row a text: item, family, question, reference, text, tokens, and the verdicts of the task's own program: strict,
    lenient, and audited (whether every stated step is right; null where the task cannot tell)."""
    verdicts = task.verdicts(items, texts)
    audited = [task.audit(item, text) for item, text in zip(items, texts, strict=True)]
    return pl.DataFrame(
        {
            "item": pl.Series([item.id for item in items], dtype=pl.String),
            "family": pl.Series([item.family for item in items], dtype=pl.String),
            "question": pl.Series([item.prompt for item in items], dtype=pl.String),
            "reference": pl.Series([item.answer for item in items], dtype=pl.String),
            "text": pl.Series(texts, dtype=pl.String),
            "tokens": pl.Series(tokens, dtype=pl.Int64),
            "strict": pl.Series([v.strict for v in verdicts], dtype=pl.Boolean),
            "lenient": pl.Series([v.lenient for v in verdicts], dtype=pl.Boolean),
            "audited": pl.Series(audited, dtype=pl.Boolean),
        }
    )


def _sizes(measure: Measure, max_tokens: int, seed: int) -> dict[str, Any]:
    return {"heldout": measure.heldout, "texts": TEXTS, "max_tokens": max_tokens, "seed": seed}
