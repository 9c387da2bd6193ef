"""What a student is: a base model everybody can have, and the way it is trained on what was harvested."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.identity import identity
from lm.examples import Examples
from lm.model_spec import ModelSpec, Weights
from lm.types import Progress
from student.objectives.base import Objective

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


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

    ``refinable``: whether its weights can be changed after the fit (`attacks.base.Refine`) and stored as its ``load`` takes
    them.
    """

    refinable: ClassVar[bool] = False

    @property
    @abstractmethod
    def steps(self) -> int:
        """Optimizer steps of a fit."""

    @abstractmethod
    def fit(self, lm: LanguageModel, examples: Examples, objective: Objective, seed: int, progress: Progress) -> Fitted:
        """Train a copy of ``lm`` on ``examples`` (in its own tokens). ``lm`` is left as it was."""

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
