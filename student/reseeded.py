"""The mini student from another seed: a provider knows by which recipe students are made, not their weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from configs.ranges import at_least
from lm.model_spec import Weights
from lm.seeds import derived_seed
from lm.types import Progress
from student.mini import MiniStudent
from tasks.base import Task


@dataclass(frozen=True)
class ReseededStudent(MiniStudent):
    """A mini student whose first weights and public rows are drawn from another seed than those of the cell's own student.

    Args:
        reseed: chooses the seed, at least 1.
    """

    name: ClassVar[str] = "mini_reseeded"
    version: ClassVar[int] = 1

    reseed: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "reseed")

    def train(self, task: Task, seed: int, progress: Progress) -> Weights:
        """See `ModelSpec.train`."""
        return super().train(task, derived_seed(seed, self.name, str(self.reseed)), progress)
