"""What a student is: a base model everybody can have, and the way it is trained on what was harvested."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from configs.identity import identity
from lm.examples import Examples
from lm.model_spec import ModelSpec, Weights
from lm.types import Progress
from student.objectives.base import Objective

if TYPE_CHECKING:
    from lm.language_model import LanguageModel
    from tasks.base import Task


class Fitted(NamedTuple):
    """What a fit gives.

    Args:
        weights: that `ModelSpec.load` accepts.
        losses: (steps,) training loss of each step's rows before the step was taken.
    """

    weights: Weights
    losses: NDArray[np.float32]


class StudentSpec(ModelSpec):
    """A `ModelSpec` that can also be fitted: `train` gives the base model before any query.

    ``refinable``: whether its weights can be changed after the fit (`attacks.base.Refine`) and stored again (`stored`).

    A student that learns nothing, as an example of what `fit` takes and gives (`ModelSpec` shows `train` and `load`):

    >>> class Stubborn(StudentSpec):
    ...     name, version, steps, label = "stubborn", 1, 0, "stubborn"
    ...
    ...     def train(self, task, seed, progress):
    ...         return {}
    ...
    ...     def load(self, task, weights, seed):
    ...         return weights
    ...
    ...     def fit(self, lm, examples, objective, seed, progress):
    ...         return Fitted(lm, losses=np.zeros(self.steps, np.float32))
    >>> Stubborn().fit({"w": 1}, examples=None, objective=None, seed=0, progress=None).weights
    {'w': 1}
    """

    refinable: ClassVar[bool] = False

    @property
    @abstractmethod
    def steps(self) -> int:
        """Optimizer steps of a fit."""

    @abstractmethod
    def fit(self, lm: LanguageModel, examples: Examples, objective: Objective, seed: int, progress: Progress) -> Fitted:
        """Train a copy of ``lm`` on ``examples`` (in its own tokens). ``lm`` is left as it was."""

    def refining_memory(self, task: Task) -> int:
        """Bytes that reinforcement learning of it takes at least (`lm.reinforce`: a copy, all of whose weights are trained);
        0 where that is not known. Loads nothing."""
        return self.memory(task)

    def within(self, steps: int) -> Self:
        """The same student, fitted in at most so many optimizer steps."""
        student: Any = self
        recipe = replace(student.recipe, steps=min(steps, self.steps))
        changed: Self = replace(student, recipe=recipe)
        return changed

    def stored(self, lm: LanguageModel) -> Weights:
        """Weights from which ``load`` makes this model again, on the CPU.

        Args:
            lm: what ``load`` gave, or a copy of that whose weights were trained.
        """
        return {name: tensor.detach().cpu().clone() for name, tensor in lm.model.state_dict().items()}

    def cohort_key(self) -> str:
        """Students of one class and equal key can be fitted together, whatever their data, objective, length and seed;
        "" for one that is fitted alone."""
        return ""

    @classmethod
    def fit_together(cls, fits: Sequence[Fit], progress: Progress) -> list[Fitted]:
        """What `fit` gives for each of several students of this class and one key, in their order."""
        return [f.spec.fit(f.lm, f.examples, f.objective, f.seed, progress) for f in fits]

    def base_config(self) -> dict[str, Any]:
        """The part of the configuration that `train` depends on, so that students which differ in how they are fitted share
        one base model. Fields named ``recipe`` describe the fit and are left out."""
        whole: dict[str, Any] = identity(self)
        return {**whole, "fields": {name: value for name, value in whole["fields"].items() if name != "recipe"}}


@dataclass(frozen=True)
class Fit:
    """One student to be fitted; the arguments of `StudentSpec.fit`."""

    spec: StudentSpec
    lm: LanguageModel
    examples: Examples
    objective: Objective
    seed: int
