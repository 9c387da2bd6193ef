"""Fits many mini students at once, whatever their data, objective, length or seed.

A student ends where it would end alone: bit for bit on a CPU, where members of a cohort do not meet, and up to the order of
sums where they are stacked (`lm.mini.train`).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lm.examples import Examples
from lm.mini.train import Member, train_mini
from lm.train import epochs
from lm.types import Progress
from student.fit import Trained, require_rows
from student.objectives.base import Objective

if TYPE_CHECKING:
    from lm.language_model import LanguageModel
    from lm.recipe import Recipe


class Student(NamedTuple):
    """One member of a cohort.

    Args:
        lm: the base model, a mini one; left as it is.
        examples: at least one row, in the model's own tokens.
        objective: the loss.
        recipe: steps, batch size, rates; all members have one optimizer.
        seed: of the order of the rows.
    """

    lm: LanguageModel
    examples: Examples
    objective: Objective
    recipe: Recipe
    seed: int


def fit_cohort(students: Sequence[Student], progress: Progress, size: int | None = None) -> list[Trained]:
    """Train copies of the members' base models, which have one shape.

    Args:
        students: at least one.
        progress: told after each step.
        size: students in one program; None takes what the device holds, 1 on a CPU.

    Raises:
        ConfigError: no rows, or an objective that needs logprobs which the rows do not have.
    """
    fitted = []
    for student in students:
        require_rows(student.examples, student.objective)
        fitted.append(student.lm.with_model(copy.deepcopy(student.lm.model)))
    members = [
        Member(
            lm.model,
            epochs(student.examples, student.recipe, np.random.default_rng(student.seed)),
            student.objective.losses,
            student.recipe,
            student.recipe.batch_size
            * int((student.examples.prompts.lengths + student.examples.completions.lengths).max()),
        )
        for lm, student in zip(fitted, students, strict=True)
    ]
    losses = train_mini(members, int(students[0].lm.tokenizer.pad_token_id), progress, size)
    for lm in fitted:
        lm.model.eval()
    return [Trained(lm, curve) for lm, curve in zip(fitted, losses, strict=True)]
