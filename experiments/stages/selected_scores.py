"""Scores on items that no attacker is given and no final score uses: on these the strongest attack is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from experiments.stages.prompts import honest_items
from experiments.stages.scores import ScoreStage
from tasks.base import Item, Split

SPLIT: Split = "provider"


@dataclass(frozen=True)
class SelectionStage(ScoreStage):
    """Scores the model of a stage on ``measure.heldout`` items of each family of the provider's split."""

    name: ClassVar[str] = "selection"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 2.0

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {**super().config(), "harder": 0, "split": SPLIT}

    def items(self) -> dict[str, list[Item]]:
        """See `ScoreStage.items`."""
        return {SPLIT: honest_items(self.model.task, self.measure, SPLIT, self.seed)}
