"""A stage that costs next to nothing, to see what running one costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from experiments.engine.graph import Wanted
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage


@dataclass(frozen=True)
class Cheap(Stage):
    """Stores its name."""

    name: ClassVar[str] = "cheap"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 0.001

    label: str
    needs: Mapping[str, Stage] = field(default_factory=dict)

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {"label": self.label}

    def inputs(self) -> dict[str, Stage]:
        """What it was given."""
        return dict(self.needs)

    def run(self, context: Context) -> Artifact:
        """Its name and its inputs' names."""
        return Artifact(meta={"label": self.label, "read": [entry.meta["label"] for entry in context.inputs.values()]})


def cheap_rows(count: int) -> list[Wanted]:
    """Rows that share one root, with a stage of their own between."""
    root = Cheap("root")
    middles = [Cheap(f"middle {i}", {"root": root}) for i in range(count)]
    return [Wanted(Cheap(f"row {i}", {"middle": m, "root": root}), f"cell {i}") for i, m in enumerate(middles)]
