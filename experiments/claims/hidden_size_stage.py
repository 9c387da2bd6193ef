"""What an attack read of the teacher's hidden size, beside the true one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl

from attacks.harvest.last_layer_svd import LastLayerSVD
from configs.errors import ConfigError
from configs.identity import identity
from experiments.stages.harvest import HarvestStage
from experiments.stages.loading import model_of
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from teacher.api.interface import Interface

SCHEMA: dict[str, Any] = {
    "seed": pl.Int64,
    "defense": pl.String,
    "true": pl.Float64,
    "found": pl.Float64,
    "gap": pl.Float64,
    "most": pl.Float64,
    "queries": pl.Float64,
    "refused": pl.List(pl.String),
}


@dataclass(frozen=True)
class HiddenSizeStage(Stage):
    """Reads the findings of a harvest; no student is trained.

    Args:
        harvest: of an attack that reads the hidden size.
        withheld: interfaces, by what they do not sell, that the attack is held against without being run.
        seed: of the cell.
    """

    name: ClassVar[str] = "hidden_size"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 1.0

    harvest: HarvestStage
    withheld: Mapping[str, Interface]
    seed: int

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {"withheld": {name: identity(api) for name, api in self.withheld.items()}, "seed": self.seed}

    def inputs(self) -> dict[str, Stage]:
        """The harvest and the teacher that it asked."""
        return {"harvest": self.harvest, "teacher": self.harvest.served}

    def run(self, context: Context) -> Artifact:
        """Table ``measured``, one row: seed, names of the defenses, the ``true`` hidden size, the size ``found`` (NaN where
        the attack believed none), the ``gap`` behind it in powers of ten, the ``most`` it could have found, ``queries`` it
        took, and ``refused``: which of ``withheld`` the attack refuses to run against."""
        findings = context.inputs["harvest"].meta["findings"]
        model = model_of(self.harvest.served, context.inputs["teacher"]).model
        row = {
            "seed": self.seed,
            "defense": "+".join(self.harvest.offer.defenses) or "none",
            "true": float(model.config.hidden_size),
            "found": float("nan") if findings["hidden_size"] is None else float(findings["hidden_size"]),
            "gap": float(findings["hidden_size_gap"]),
            "most": float(findings["hidden_size_most"]),
            "queries": float(findings["hidden_size_queries"]),
            "refused": [name for name, api in self.withheld.items() if refuses(api)],
        }
        return Artifact(tables={"measured": pl.DataFrame([row], schema=SCHEMA)})


def refuses(api: Interface) -> bool:
    """Whether the attack's own check of what is sold turns this interface down."""
    try:
        LastLayerSVD.require_interface(api)
    except ConfigError:
        return True
    return False
