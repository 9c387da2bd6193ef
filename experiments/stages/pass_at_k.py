"""How many of several samples a model gets right on each held-out item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from configs.identity import identity
from experiments.measure.pass_at_k import DRAWS
from experiments.stages.loading import model_of
from experiments.stages.models import BaseStage
from experiments.stages.prompts import prompts_of, scored_items
from experiments.stages.refine import RefineStage
from experiments.stages.settings import Measure
from experiments.stages.student import StudentStage
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.seeds import derived_seed
from lm.types import Sampling
from lm.underway import saving_as


@dataclass(frozen=True)
class PassAtKStage(Stage):
    """Samples `DRAWS` responses to held-out items at temperature 1: to all, or to ``measure.pass_items`` of each family.

    Args:
        model: whose responses.
        measure: which items.
        max_tokens: of a response.
        seed: of the cell.
    """

    name: ClassVar[str] = "pass_at_k"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 6.0

    model: BaseStage | StudentStage | RefineStage
    measure: Measure
    max_tokens: int
    seed: int

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {
            "task": identity(self.model.task),
            "heldout": self.measure.heldout,
            "draws": DRAWS,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            **({} if self.measure.pass_items is None else {"items": self.measure.pass_items}),
        }

    def inputs(self) -> dict[str, Stage]:
        """The model."""
        return {"model": self.model}

    def run(self, context: Context) -> Artifact:
        """Table ``passes``: item, family, level, n samples, how many of them are right (strict)."""
        lm, task = model_of(self.model, context.inputs["model"]), self.model.task
        scored = scored_items(task, self.measure, self.seed)["heldout"]
        of_family = [[item for item in scored if item.family == family] for family in task.families]
        items = [item for family in of_family for item in family[: self.measure.pass_items]]
        every = [item for item in items for _ in range(DRAWS)]
        prompts = prompts_of(task, every, lm)
        seeds = [derived_seed(self.seed, self.name, item.id, str(draw)) for item in items for draw in range(DRAWS)]
        sampling = Sampling(1.0, self.max_tokens)
        with saving_as(self.name):
            drawn = lm.generate(prompts.tokens, sampling, np.array(seeds, np.int64), tools=prompts.tools)

        said = list(enumerate(lm.decode(drawn.tokens)))
        different = list(dict.fromkeys((at // DRAWS, text) for at, text in said))  # samples repeat themselves
        verdicts = task.verdicts([items[at] for at, _ in different], [text for _, text in different])
        solved = dict(zip(different, verdicts, strict=True))
        right = [solved[at // DRAWS, text].strict for at, text in said]
        counts = np.array(right, np.int64).reshape(len(items), DRAWS).sum(1)
        names = {name: [getattr(item, field) for item in items] for name, field in _FIELDS.items()}
        table = pl.DataFrame({**names, "n": np.full(len(items), DRAWS), "right": counts})
        return Artifact(tables={"passes": table})


_FIELDS = {"item": "id", "family": "family", "level": "level"}
