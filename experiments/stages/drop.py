"""What a defense costs honest users over several seeds: one point of a calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from experiments.measure.drop import drop_table
from experiments.stages.honest import HonestStage
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage


@dataclass(frozen=True)
class DropStage(Stage):
    """Pairs the requests of honest users with and without a defense.

    Args:
        defended: honest users behind the defense, by seed.
        clean: the same users without it.
    """

    name: ClassVar[str] = "drop"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 0.05

    defended: Mapping[str, HonestStage]
    clean: Mapping[str, HonestStage]

    def config(self) -> dict[str, Any]:
        """See `Stage.config`: all is in the inputs."""
        return {}

    def inputs(self) -> dict[str, Stage]:
        """Both sides of every seed."""
        return {
            **{f"defended.{seed}": stage for seed, stage in self.defended.items()},
            **{f"clean.{seed}": stage for seed, stage in self.clean.items()},
        }

    def run(self, context: Context) -> Artifact:
        """``drop``: see `experiments.measure.drop.drop_table`."""
        defended, clean = (
            [context.inputs[f"{side}.{seed}"].table("items") for seed in self.defended]
            for side in ("defended", "clean")
        )
        return Artifact(tables={"drop": drop_table(defended, clean)})
