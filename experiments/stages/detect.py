"""What a provider can prove of a student: whether it learnt from the teacher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from configs.errors import ConfigError
from configs.identity import identity
from defenses.base import Answered, Defense, Deployed, Detection, hooks_of
from experiments.stages.harvest import HarvestStage, harvested_of, pool_items
from experiments.stages.loading import model_of
from experiments.stages.models import TeacherStage
from experiments.stages.prepare import PrepareStage
from experiments.stages.prompts import draw
from experiments.stages.provider_models import ProviderModels
from experiments.stages.refine import RefineStage
from experiments.stages.student import StudentStage
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.seeds import derived_seed, generator
from teacher.api.hooks import Serving

if TYPE_CHECKING:
    from experiments.store.entry import Entry
    from lm.language_model import LanguageModel

PROMPTS = 100
"""Of each family that a suspect is asked; of the provider split."""
SCHEMA = {"defense": pl.String, "p": pl.Float64, "statistic": pl.Float64, "looked_at": pl.Int64}


@dataclass(frozen=True)
class DetectStage(Stage):
    """Asks every defense of a stack that can say it whether a student learnt from the teacher.

    Args:
        suspect: the student.
        teacher: of the provider.
        models: that the provider has besides.
        prepared: preparation stages by defense name, for those that need one.
        defenses: by name.
        harvest: what the attacker was answered through the defended API.
        seed: of the cell.
    """

    name: ClassVar[str] = "detect"
    version: ClassVar[int] = 2
    seconds: ClassVar[float] = 2.0

    suspect: StudentStage | RefineStage
    teacher: TeacherStage
    models: ProviderModels
    prepared: Mapping[str, PrepareStage]
    defenses: Mapping[str, Defense]
    harvest: HarvestStage
    seed: int

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {"defenses": [[name, identity(d)] for name, d in self.defenses.items()], "seed": self.seed}

    def inputs(self) -> dict[str, Stage]:
        """The suspect and what the provider has."""
        prepared = {f"prepared.{n}": s for n, s in self.prepared.items() if n in self.defenses}
        own = {"suspect": self.suspect, "teacher": self.teacher, "harvest": self.harvest}
        return {**own, **self.models.inputs(), **prepared}

    def run(self, context: Context) -> Artifact:
        """``evidence``: a row for each defense that has something to say."""
        suspect = model_of(self.suspect, context.inputs["suspect"])
        teacher, task = model_of(self.teacher, context.inputs["teacher"]), self.teacher.task
        asked = draw(task, "provider", dict.fromkeys(task.families, PROMPTS), derived_seed(self.seed, "detect"))
        models = self.models.loaded(context.inputs)

        def model(name: str) -> LanguageModel:
            return models[name].load()

        def deployed(name: str) -> Deployed:
            if name not in self.defenses:
                raise ConfigError("defense", name, "is no defense of this stack that detects", tuple(self.defenses))
            entry = context.inputs.get(f"prepared.{name}")
            secret = derived_seed(derived_seed(self.seed, "gateway"), name)
            prepared = {} if entry is None else entry.tensors("prepared")
            return Deployed(self.defenses[name], Serving(teacher, model, prepared, secret))

        rows, texts = [], [item.prompt for item in asked]
        for name in self.defenses:
            defense, serving = deployed(name)
            found = defense.detect(
                Detection(
                    suspect,
                    texts,
                    serving,
                    teacher.format,
                    generator(self.seed, self.name, name),
                    lambda: answered_of(self.harvest, context.inputs["harvest"]),
                    deployed,
                )
            )
            if found is not None:
                rows.append({"defense": name, **found._asdict()})
        return Artifact(tables={"evidence": pl.DataFrame(rows, schema=SCHEMA)})


def detecting(defenses: Mapping[str, Defense]) -> dict[str, Defense]:
    """Those that can say something of a student."""
    return {name: defense for name, defense in defenses.items() if "detect" in hooks_of(defense)}


def answered_of(stage: HarvestStage, harvest: Entry) -> Answered:
    """What the provider has kept of a stored harvest."""
    got = harvested_of(harvest)
    pool, _ = pool_items(stage.task, stage.budget, stage.seed)
    texts = [*(item.prompt for item in pool), *harvest.meta["own_texts"]]
    return Answered(texts, got.item, got.responses)
