"""What the attacker makes of what he got: responses become training rows, cleaned by his recover steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from attacks.base import Recover, RecoverContext
from attacks.compute import ComputeMeter
from attacks.examples import to_examples
from attacks.knowledge import Rehearsed
from configs.identity import identity
from experiments.stages.harvest import HarvestStage, checker, erring, harvested_of, pool_items, undeclared
from experiments.stages.loading import model_of
from experiments.stages.overlap import apart, asks_scored
from experiments.stages.prompts import prompts_of, public_items, public_texts, reference_examples, scored_items
from experiments.stages.settings import Measure
from experiments.stages.student_view import for_student
from experiments.store.artifact import Artifact
from experiments.store.stage import Context, Stage
from lm.examples import Examples, from_arrays, to_arrays
from lm.ragged import Ragged
from lm.seeds import derived_seed, generator
from lm.types import Channel
from student.objectives.base import Objective
from student.translate import foreign_share
from tasks.base import Item

if TYPE_CHECKING:
    from experiments.store.entry import Entry
    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class TrainingSetStage(Stage):
    """Applies the recover steps in order, then puts the rows into the student's own tokens.

    Answers to texts of the attacker's own making that ask what a scored item asks are left out before the first step and
    after each: he pays for them and does not learn from them. The scored items stay the same for all attacks, so that their
    students can be compared item by item; pool and public rows are of other splits.

    Args:
        rehearsal: what the attacker has tried out at home (`experiments.stages.shadow`); None where no step learns from it.
    """

    name: ClassVar[str] = "training_set"
    version: ClassVar[int] = 2
    seconds: ClassVar[float] = 1.0

    harvest: HarvestStage
    recover: Mapping[str, Recover]
    objective: Objective
    measure: Measure
    seed: int
    rehearsal: Stage | None = None

    @property
    def _computes(self) -> bool:
        """Whether a step takes the attacker's own compute."""
        return any(step.trains or step.rehearses for step in self.recover.values())

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        checkable = {"checkable": list(self.harvest.task.checkable)} if self.recover else {}
        trained = {
            "objective": identity(self.objective),
            "student": identity(self.harvest.student),
            "compute": identity(self.harvest.budget.compute),
            "max_tokens": self.harvest.max_tokens,
        }
        scored = {"heldout": self.measure.heldout, "harder": self.measure.harder}
        return {
            **checkable,
            **(erring(self.harvest.budget) if any(step.checks for step in self.recover.values()) else {}),
            **({"apart_from": scored} if self.harvest.harvest.own_texts else {}),
            **(trained if self._computes else {}),
            "recover": [identity(step) for step in self.recover.values()],
            "uses_trace": self.objective.uses_trace,
            "needs_top_logprobs": self.objective.needs_top_logprobs,
            "seed": self.seed,
        }

    def inputs(self) -> dict[str, Stage]:
        """The harvest, the two models for their tokenizers, and what was tried out."""
        tried = {} if self.rehearsal is None else {"rehearsal": self.rehearsal}
        return {"harvest": self.harvest, "served": self.harvest.served, "base": self.harvest.base, **tried}

    def run(self, context: Context) -> Artifact:
        """Training rows in the student's tokens."""
        task = self.harvest.task
        served = model_of(self.harvest.served, context.inputs["served"])
        student = model_of(self.harvest.base, context.inputs["base"])
        items, _ = pool_items(task, self.harvest.budget, self.harvest.seed)
        prompts = prompts_of(task, items, served)
        entry = context.inputs["harvest"]
        own = list(entry.meta.get("own_texts", ()))
        overlaps = np.zeros(len(items), np.bool_)
        if own:
            prompts = prompts.and_also(own, served.encode_prompts(own))
            scored = [item for split in scored_items(task, self.measure, self.seed).values() for item in split]
            overlaps = np.concatenate([overlaps, asks_scored(task, own, scored)])
        harvested = to_examples(harvested_of(entry), prompts.tokens, served.format)
        rows = apart(harvested, overlaps)
        refused = entry.arrays("item").get("refused", np.zeros(0, np.int64))

        def encode(asked: NDArray[np.int64], texts: Sequence[str]) -> Examples:
            return said(prompts.tokens.take(asked), texts, served, asked)

        def anybodys(asked: Sequence[str], texts: Sequence[str]) -> Examples:
            scored = [item for split in scored_items(task, self.measure, self.seed).values() for item in split]
            made = said(served.encode_prompts(asked), texts, served, np.full(len(asked), -1))
            return made.where(~asks_scored(task, asked, scored))

        def fit(
            rows: Examples, start: LanguageModel | None = None, objective: Objective | None = None, seed: int = 0
        ) -> LanguageModel:
            spec = self.harvest.student
            spending.book(steps=spec.steps)
            named = ("recover",) if seed == 0 else ("recover", str(seed))
            drawn = derived_seed(self.seed, *named)
            fitted = spec.fit(start or student, rows, objective or self.objective, drawn, context.progress)
            return spec.load(task, fitted.weights, self.seed)

        def in_own_tokens(rows: Examples, objective: Objective | None = None) -> Examples:
            return for_student(rows, served, student, objective or self.objective)

        computes, tried = self._computes, None
        spending = ComputeMeter(self.harvest.budget.compute)
        if self.rehearsal is not None:
            spending.book(**context.inputs["rehearsal"].meta["spent"])
            tried = rehearsed_of(context.inputs["rehearsal"])
        cleaning = RecoverContext(
            texts=prompts.texts,
            check=checker(task, items, self.harvest.budget, self.harvest.seed),
            format=served.format,
            decode=lambda examples: served.decode(examples.completions),
            public=lambda n, seed=0: reference_examples(self._public_items(n, seed), served),
            public_texts=lambda n, seed=0: public_texts(self._public_items(n, seed)),
            rng=generator(self.seed, self.name),
            interface=self.harvest.knowledge.of(self.harvest.offer.interface),
            refused=refused[~overlaps[refused]],
            encode=encode,
            rows=anybodys,
            family=np.array([*(item.family for item in items), *("" for _ in own)], object),
            tools=prompts.tools,
            max_tokens=self.harvest.max_tokens,
            progress=context.progress,
            student=(lambda: student) if computes else None,
            fit=fit if computes else None,
            own=in_own_tokens if computes else None,
            compute=spending if computes else None,
            rehearsed=tried,
        )
        counts, unchecked = {"harvested": len(rows)}, replace(cleaning, check=undeclared("recover"))
        for name, step in self.recover.items():
            rows = apart(step.apply(rows, cleaning if step.checks else unchecked), overlaps)
            counts[name] = len(rows)
        rows = for_student(rows, served, student, self.objective)
        meta = {
            "rows_after": counts,
            "overlap_dropped": len(harvested) - counts["harvested"],
            "foreign_share": foreign_share(rows.prompts, student),
            **({"spent": spending.spent} if computes else {}),
        }
        rows = replace(rows, request=None, account=None)  # a student learns the same whoever asked
        return Artifact(tensors={"examples": to_arrays(rows)}, meta=meta)

    def _public_items(self, n: int, seed: int) -> list[Item]:
        named = ("public",) if seed == 0 else ("public", str(seed))
        return public_items(self.harvest.task, n, self.harvest.budget.mix, derived_seed(self.seed, *named))


def said(prompts: Ragged, texts: Sequence[str], lm: LanguageModel, item: NDArray[np.int64]) -> Examples:
    """Responses in words as training rows that end, in the tokens of a model: every token learnt except tool results."""
    end = lm.tokenizer.eos_token_id
    completions = Ragged.of([[*body.tolist(), end] for body in lm.encode(texts)])
    channel = lm.format.channels(completions)
    weight = (channel != Channel.TOOL).astype(np.float32)
    return Examples(prompts, completions, channel, weight, item.astype(np.int64), np.zeros(len(completions), bool))


def examples_of(entry: Entry) -> Examples:
    """Training rows of a stored training set."""
    return from_arrays(Examples, entry.arrays("examples"))


def rehearsed_of(entry: Entry) -> Rehearsed:
    """What a stored rehearsal holds."""
    return Rehearsed(*(from_arrays(Examples, entry.arrays(side)) for side in Rehearsed._fields))
