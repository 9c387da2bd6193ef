"""How far a defense's sold probabilities are from the truth over several seeds: one point of a calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from experiments.measure.sold_distance import distance_table
from experiments.stages.sold import SoldStage
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage


@dataclass(frozen=True)
class DistanceStage(Stage):
    """The mean over seeds.

    Args:
        sold: what the defended API sells, by seed.
    """

    name: ClassVar[str] = "distance"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 0.05

    sold: Mapping[str, SoldStage]

    def config(self) -> dict[str, Any]:
        """See `Stage.config`: all is in the inputs."""
        return {}

    def inputs(self) -> dict[str, Stage]:
        """All seeds."""
        return {f"sold.{seed}": stage for seed, stage in self.sold.items()}

    def run(self, context: Context) -> Artifact:
        """``l1``: see `experiments.measure.sold_distance.distance_table`."""
        tables = [context.inputs[f"sold.{seed}"].table("sold") for seed in self.sold]
        return Artifact(tables={"l1": distance_table(tables)})
