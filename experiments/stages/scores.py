"""One row per held-out item: what a model can do on its own, greedy and sampled, and step by step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from configs.identity import identity
from experiments.stages.loading import model_of
from experiments.stages.models import BaseStage, TeacherStage
from experiments.stages.prompts import prompts_of, reference_examples, scored_items
from experiments.stages.refine import RefineStage
from experiments.stages.sample_texts import TEXTS, answered_texts, first_of_each, parts_of
from experiments.stages.settings import Measure
from experiments.stages.student import StudentStage
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.ragged import Ragged
from lm.seeds import derived_seed
from lm.types import Sampling
from lm.underway import saving_as
from tasks.base import Item, Task

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class ScoreStage(Stage):
    """Scores the model of a stage on held-out and harder items."""

    name: ClassVar[str] = "scores"
    version: ClassVar[int] = 2
    seconds: ClassVar[float] = 3.0

    model: TeacherStage | BaseStage | StudentStage | RefineStage
    measure: Measure
    max_tokens: int
    seed: int

    def config(self) -> dict[str, Any]:
        """See `Stage.config`; only what scoring depends on, not the honest population."""
        m = self.measure
        return {
            "task": identity(self.model.task),
            "heldout": m.heldout,
            "harder": m.harder,
            "temperature": m.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }

    def inputs(self) -> dict[str, Stage]:
        """The model."""
        return {"model": self.model}

    def items(self) -> dict[str, list[Item]]:
        """What it is scored on, by split."""
        return scored_items(self.model.task, self.measure, self.seed)

    def cohort_key(self) -> str:
        """See `Stage.cohort_key`: students that could be fitted together, asked as many items."""
        cohort_key = self.model.cohort_key()
        return json.dumps([cohort_key, {**self.config(), "seed": None}]) if cohort_key else ""

    def run(self, context: Context) -> Artifact:
        """The item table, and the texts of some of the greedy answers to held-out items
        (`experiments.stages.sample_texts`)."""
        return self.run_together([self], [context])[0]

    @classmethod
    def run_together(cls, stages: Sequence[ScoreStage], contexts: Sequence[Context]) -> list[Artifact]:
        """See `Stage.run_together`."""
        models = [
            model_of(stage.model, context.inputs["model"]) for stage, context in zip(stages, contexts, strict=True)
        ]
        drawn = [stage.items() for stage in stages]
        tables: list[list[pl.DataFrame]] = [[] for _ in stages]
        kept: list[dict[str, pl.DataFrame]] = [{} for _ in stages]
        for split in drawn[0]:
            items = [one[split] for one in drawn]
            if items[0]:
                scored = _scored(stages, models, items, split == "heldout")
                for stage, asked, own, texts, table in zip(stages, items, tables, kept, scored, strict=True):
                    own.append(table.drop("trace", "answer").with_columns(split=pl.lit(split)))
                    if split == "heldout" and stage.measure.transcripts:
                        texts[TEXTS] = answered_texts(asked, table.filter(pl.col("decoding") == "greedy"))
        return [Artifact(tables={"items": pl.concat(own), **texts}) for own, texts in zip(tables, kept, strict=True)]


def _scored(
    stages: Sequence[ScoreStage], models: Sequence[LanguageModel], items: Sequence[Sequence[Item]], texts: bool
) -> list[pl.DataFrame]:
    """The table of one split for each of several models, asked at once where they are asked as many items. With ``texts``,
    what was said of the sample is in ``trace`` and ``answer``, which else are null."""
    if len({len(own) for own in items}) > 1:
        return [_scored([s], [m], [own], texts)[0] for s, m, own in zip(stages, models, items, strict=True)]
    from lm.ensemble import ensemble

    task, measure, lm = stages[0].model.task, stages[0].measure, ensemble(models)
    every = [item for own in items for item in own]
    seeds = [derived_seed(s.seed, s.name, item.id) for s, own in zip(stages, items, strict=True) for item in own]
    steps = pl.concat([step_accuracy(own, model) for own, model in zip(items, models, strict=True)])
    sample = [row for s, own in zip(stages, items, strict=True) for row in _sampled(own, s.measure.transcripts * texts)]
    found = []
    for decoding, temperature in (("greedy", 0.0), ("sampled", measure.temperature)):
        sampling = Sampling(temperature, stages[0].max_tokens)
        kept = np.array(sample, np.bool_) & (decoding == "greedy")
        answers = _answered(task, every, lm, sampling, np.array(seeds, np.int64), kept)
        found.append(answers.with_columns(decoding=pl.lit(decoding), step_correct=steps))
    size = len(items[0])
    return [pl.concat([table[at : at + size] for table in found]) for at in range(0, len(every), size)]


def _answered(
    task: Task,
    items: Sequence[Item],
    lm: LanguageModel,
    sampling: Sampling,
    seeds: NDArray[np.int64],
    kept: NDArray[np.bool_],
) -> pl.DataFrame:
    prompts = prompts_of(task, items, lm)
    with saving_as(
        ScoreStage.name
    ):  # of one model: those that are asked at once are small, and nothing is kept of them
        drawn = lm.generate(prompts.tokens, sampling, seeds, tools=prompts.tools)
    texts = lm.decode(drawn.tokens)
    verdicts = task.verdicts(items, texts)
    rows = np.flatnonzero(kept)
    said: dict[str, list[str | None]] = {"trace": [None] * len(items), "answer": [None] * len(items)}
    if len(rows):
        parts = parts_of(lm, drawn.tokens.take(rows), drawn.channel[drawn.tokens.value_index(rows)])
        for name, own in zip(said, parts, strict=True):
            for row, text in zip(rows.tolist(), own, strict=True):
                said[name][row] = text
    return pl.DataFrame(
        {
            "item": [item.id for item in items],
            "family": [item.family for item in items],
            "level": [item.level for item in items],
            "strict": [v.strict for v in verdicts],
            "lenient": [v.lenient for v in verdicts],
            "finished": drawn.finished,
            "formed": pl.Series([task.formed(i, text) for i, text in zip(items, texts, strict=True)], dtype=pl.Boolean),
            "tokens": drawn.tokens.lengths,
            **{name: pl.Series(own, dtype=pl.String) for name, own in said.items()},
        }
    )


def _sampled(items: Sequence[Item], most: int) -> list[bool]:
    found: list[bool] = first_of_each([item.family for item in items], most).tolist()
    return found


def step_accuracy(items: Sequence[Item], lm: LanguageModel) -> pl.Series:
    """Share of each item's single steps that the model gets right when led along the reference (teacher-forced); null
    where the item has none, or where a word of the reference is not one token."""
    shares: list[float | None] = [None] * len(items)
    rows = [i for i, item in enumerate(items) if item.steps]
    if rows:
        references = reference_examples([items[i] for i in rows], lm)
        words = np.array([len(items[i].reference.split()) for i in rows])
        if np.array_equal(references.completions.lengths - 1, words):
            greedy = lm.score(references.prompts, references.completions).greedy
            right = Ragged(greedy.astype(np.int32), references.completions.offsets)
            for at, i in enumerate(rows):
                shares[i] = float(right[at][list(items[i].steps)].mean())
    return pl.Series(shares, dtype=pl.Float64)
