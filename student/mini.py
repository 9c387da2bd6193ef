"""The mini student: a small decoder that knows what is public, fitted to what was harvested."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, cast

import numpy as np

from configs.errors import ConfigError, require
from configs.ranges import at_least
from lm.examples import Examples
from lm.mini.size import memory_of
from lm.model_spec import Weights
from lm.recipe import Recipe
from lm.types import Progress
from student.base import Fit, Fitted, StudentSpec
from student.objectives.base import Objective
from student.objectives.sft import SFT
from tasks.base import Task
from tasks.mini import MiniTask, Wording, mini_world

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

PUBLIC_WORDING = Wording(merge=0.0, restate=0.15, check=0.05)
"""Public data states every step."""


@dataclass(frozen=True)
class MiniStudent(StudentSpec):
    """A base model trained on the public split, and how it is fitted.

    Args:
        width, layers, heads: shape of the model.
        init: ``base`` trains on public data first; ``scratch`` leaves the weights as they are drawn.
        base_rows: public rows a step of each family.
        base_recipe: how the base is optimised; ``base_rows`` says the rows of a step.
        recipe: how the student is fitted to what was harvested.
    """

    name: ClassVar[str] = "mini_student"
    version: ClassVar[int] = 1
    refinable: ClassVar[bool] = True

    width: int = 64
    layers: int = 2
    heads: int = 4
    init: Literal["base", "scratch"] = "base"
    base_rows: tuple[int, int, int, int] = (32, 12, 12, 12)
    base_recipe: Recipe = field(default_factory=lambda: Recipe(steps=300))
    recipe: Recipe = field(default_factory=lambda: Recipe(balance=True))

    def __post_init__(self) -> None:
        at_least(self, 1, "width", "layers", "heads")
        at_least(self, 0, "base_rows")
        require(self.init == "scratch" or sum(self.base_rows) > 0, "base_rows", self.base_rows, "must hold a row")
        require(self.width % (2 * self.heads) == 0, "student.width", self.width, "must be a multiple of 2 x heads")
        rows = self.base_rows
        reason = "must be four numbers of rows (chain, code, facts, tool), none negative and one above 0"
        require(len(rows) == 4 and min(rows) >= 0 and max(rows) > 0, "student.base_rows", rows, reason)
        if self.init not in ("base", "scratch"):
            raise ConfigError("student.init", self.init, "unknown start", ("base", "scratch"))

    @property
    def label(self) -> str:
        """See `ModelSpec.label`."""
        return "mini"

    def check(self, task: Task, max_tokens: int) -> None:
        """See `ModelSpec.check`: the mini world only."""
        mini_world(task, "student")

    def memory(self, task: Task) -> int:
        """See `lm.mini.size`: the world, the weights in training, the rows of a step."""
        steps = ((sum(self.base_rows), self.base_recipe), (self.recipe.batch_size, self.recipe))
        return max(memory_of(self.width, self.layers, rows, recipe.micro_tokens) for rows, recipe in steps)

    def train(self, task: Task, seed: int, progress: Progress) -> Weights:
        """The base model; see `ModelSpec.train`.

        Raises:
            configs.errors.ConfigError: the task is not the mini world.
        """
        from lm.from_words import fresh_model, mini_language_model, weights_of
        from lm.mini.train import Member, train_mini

        world = mini_world(task, "student")
        lm = mini_language_model(fresh_model(self.width, self.layers, self.heads, seed))
        if self.init == "base":
            rng = np.random.default_rng([seed, 0xBA5E])
            pad = int(lm.tokenizer.pad_token_id)
            public = Member(lm.model, lambda _: self._public(world, lm, rng), SFT().losses, self.base_recipe)
            train_mini([public], pad, progress)
        return weights_of(lm)

    def load(self, task: Task, weights: Weights, seed: int) -> LanguageModel:
        """See `ModelSpec.load`."""
        from lm.from_words import fresh_model, mini_language_model

        lm = mini_language_model(fresh_model(self.width, self.layers, self.heads, seed))
        lm.model.load_state_dict(weights)
        return lm

    def fit(self, lm: LanguageModel, examples: Examples, objective: Objective, seed: int, progress: Progress) -> Fitted:
        """See `StudentSpec.fit`."""
        return self.fit_together([Fit(self, lm, examples, objective, seed)], progress)[0]

    @property
    def steps(self) -> int:
        """See `StudentSpec.steps`."""
        return self.recipe.steps

    def cohort_key(self) -> str:
        """See `StudentSpec.cohort_key`: one shape, one optimizer."""
        return f"{self.width} {self.layers} {self.heads} {self.recipe.optimizer}"

    @classmethod
    def fit_together(cls, fits: Sequence[Fit], progress: Progress) -> list[Fitted]:
        """See `StudentSpec.fit_together`."""
        from lm.from_words import weights_of
        from student.cohort import Student, fit_cohort

        recipes = [cast(MiniStudent, f.spec).recipe for f in fits]
        students = [
            Student(f.lm, f.examples, f.objective, recipe, f.seed) for f, recipe in zip(fits, recipes, strict=True)
        ]
        return [Fitted(weights_of(lm), losses) for lm, losses in fit_cohort(students, progress)]

    def _public(self, task: MiniTask, lm: LanguageModel, rng: np.random.Generator) -> Examples:
        """Public rows of one step."""
        from lm.from_words import word_examples

        items = [
            part.item(part.draw("public", rng), rng)
            for (name, part), count in zip(task.parts.items(), self.base_rows, strict=True)
            for _ in range(count)
        ]
        responses = [task.seeded_response(item, rng, PUBLIC_WORDING) for item in items]
        return word_examples(lm, [item.prompt for item in items], responses)
