"""What a student and its clean twin show of a watermark when they read watermarked texts, repeats left out and counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from configs.errors import ConfigError
from configs.identity import identity
from defenses.base import Evidence
from defenses.decoding.kgw import KGW
from defenses.decoding.marks import distinct, pairs_of
from defenses.provenance.kgw_radioactivity import KGWRadioactivity, reading
from experiments.stages.detect import answered_of
from experiments.stages.harvest import HarvestStage
from experiments.stages.loading import model_of
from experiments.stages.refine import RefineStage
from experiments.stages.student import StudentStage
from experiments.stages.training_set import TrainingSetStage, examples_of
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.ragged import Ragged
from lm.seeds import derived_seed

if TYPE_CHECKING:
    from experiments.store.entry import Entry
    from lm.language_model import LanguageModel

ONCE, DISTINCT, EVERYWHERE = "once", "distinct", "everywhere"
"""Which first choices count: each different pair of context and choice, its context new in its text (the test of
`defenses.provenance.kgw_radioactivity`); each different pair; each position of each text."""
SCHEMA = {
    "seed": pl.Int64,
    "share": pl.Float64,
    "reader": pl.String,
    "key": pl.Int64,
    "own": pl.Boolean,
    "counted": pl.String,
    "n": pl.Int64,
    "green": pl.Int64,
    "z": pl.Float64,
    "p": pl.Float64,
}


@dataclass(frozen=True)
class RadioactivityStage(Stage):
    """The student and its clean twin read what was served to the attacker; the twin also reads what would have been served
    under other keys of the watermark.

    The twin never met any of the keys, and given its weights, the prompts and the noise of sampling, keys are drawn
    independently: each gives one p-value of its own from a suspect that is clean, over texts that do carry the mark.

    Args:
        watermark: its name among the defenses of the harvests.
        student: that learnt from the watermarked answers.
        clean: that learnt from the same attack's answers without a watermark.
        training_set: of the student.
        harvest: what the student's attacker was answered.
        others: by key of the watermark, the same attacker's harvests under it.
        seed: of the cell.
    """

    name: ClassVar[str] = "radioactivity"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 25.0

    watermark: str
    student: StudentStage | RefineStage
    clean: StudentStage | RefineStage
    training_set: TrainingSetStage
    harvest: HarvestStage
    others: Mapping[int, HarvestStage]
    seed: int

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {"reading": identity(KGWRadioactivity(self.watermark)), "seed": self.seed}

    def inputs(self) -> dict[str, Stage]:
        """Both readers, the teacher whose tokens are read, and all that was served."""
        own = {"student": self.student, "clean": self.clean, "training_set": self.training_set}
        others = {f"harvest.{key}": stage for key, stage in self.others.items()}
        return {**own, "teacher": self.harvest.served, "harvest": self.harvest, **others}

    def run(self, context: Context) -> Artifact:
        """Table ``measured``: a row for each reader (``student``, ``clean``), key and way of counting: ``share`` of the
        student's training rows that are answers of the teacher, whether the key is the student's ``own``, and k ``green``
        of ``n`` first choices with their z and p."""
        share = float((examples_of(context.inputs["training_set"]).item >= 0).mean())
        readers = {role: model_of(getattr(self, role), context.inputs[role]) for role in ("student", "clean")}
        teacher = model_of(self.harvest.served, context.inputs["teacher"])
        rows = []
        for done, (key, harvest, name) in enumerate(self._served()):
            own = harvest is self.harvest
            for role in readers if own else ("clean",):
                found = self._read(readers[role], teacher, harvest, context.inputs[name])
                told = {"seed": self.seed, "share": share, "reader": role, "key": key, "own": own}
                rows += [{**told, "counted": counted, **numbers} for counted, numbers in found.items()]
            context.progress(done + 1, 1 + len(self.others), f"key {key}")
        return Artifact(tables={"measured": pl.DataFrame(rows, schema=SCHEMA)})

    def _served(self) -> list[tuple[int, HarvestStage, str]]:
        """Key, harvest and name among the inputs; the student's own first."""
        others = [(key, stage, f"harvest.{key}") for key, stage in self.others.items()]
        return [(marking(self.harvest, self.watermark).key, self.harvest, "harvest"), *others]

    def _read(
        self, suspect: LanguageModel, teacher: LanguageModel, harvest: HarvestStage, entry: Entry
    ) -> dict[str, dict[str, float]]:
        """By way of counting: n, green, z and p; nothing where no choice is left."""
        if suspect.vocab != teacher.vocab:
            raise ConfigError("student", self.student.spec.label, "reads other tokens than the teacher's")
        answered = answered_of(harvest, entry)
        texts = [answered.prompts[int(at)] for at in answered.prompt]
        responses = answered.responses.tokens
        scores = suspect.score(suspect.encode_prompts(texts), responses, top_k=1)
        assert scores.top_ids is not None
        watermark = marking(harvest, self.watermark)
        secret = derived_seed(derived_seed(self.seed, "gateway"), self.watermark)
        found = counts(watermark, teacher.encode_prompts(texts), responses, scores.top_ids[:, 0], secret)
        return {counted: _numbers(watermark.gamma, evidence) for counted, evidence in found.items()}


def counts(
    watermark: KGW, prompts: Ragged, responses: Ragged, choices: NDArray[np.integer], secret: int
) -> dict[str, Evidence]:
    """What first choices show by each way of counting; without `ONCE`, or at all, where none is left.

    `ONCE` leaves out what a suspect could copy from the text that it reads; `DISTINCT` does not (the authors' reading mode
    under `no_dedup`, main_reed_wm.py of facebookresearch/radioactive-watermark); `EVERYWHERE` in addition takes one pair's
    colour for as many independent ones as the pair has positions.

    Args:
        watermark: says which tokens are green.
        prompts: as the watermark saw them: the teacher's.
        responses: as they were served.
        choices: (N,) the suspect's most probable token where each of theirs stands.
        secret: the provider's.
    """
    if not len(choices):
        return {}
    once = reading(watermark, prompts, responses, choices, secret)
    context = pairs_of(prompts, responses, watermark.width)[0][:, :-1]
    pairs = np.column_stack([context, choices])
    different = distinct(pairs, but=pairs[:0])
    return {
        **({} if once is None else {ONCE: once}),
        DISTINCT: watermark.finding(different[:, :-1], different[:, -1], secret),
        EVERYWHERE: watermark.finding(pairs[:, :-1], pairs[:, -1], secret),
    }


def marking(harvest: HarvestStage, name: str) -> KGW:
    """The green-list watermark of that name in what was offered; raises `ConfigError` where there is none."""
    defenses = harvest.offer.defenses
    if name not in defenses:
        raise ConfigError("claim.watermark", name, "serves no cell of the claim's grid", tuple(defenses))
    found = defenses[name]
    if not isinstance(found, KGW):
        raise ConfigError("claim.watermark", name, f"is a {type(found).__name__}, and no green-list watermark (kgw)")
    return found


def under_another_key(harvest: HarvestStage, name: str, shift: int, texts: int) -> HarvestStage:
    """The same harvest of fewer of its prompts, its watermark's key moved.

    Args:
        harvest: as the attacker's.
        name: of the watermark.
        shift: by how much.
        texts: how many are asked for.
    """
    watermark = marking(harvest, name)
    defenses = {**harvest.offer.defenses, name: replace(watermark, key=watermark.key + shift)}
    budget = replace(harvest.budget, queries=min(texts, harvest.budget.queries))
    return replace(harvest, offer=replace(harvest.offer, defenses=defenses), budget=budget)


def _numbers(gamma: float, evidence: Evidence) -> dict[str, float]:
    n, z = evidence.looked_at, evidence.statistic
    green = round(gamma * n + z * (gamma * (1 - gamma) * n) ** 0.5)
    return {"n": n, "green": green, "z": z, "p": evidence.p}
