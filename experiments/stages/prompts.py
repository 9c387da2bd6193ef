"""Joins tasks to models: items as prompts of an API, tools as the client runs them, references as training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from attacks.budget import allocate
from configs.errors import ConfigError
from experiments.stages.settings import Measure
from lm.examples import Examples
from lm.ragged import Ragged
from lm.seeds import derived_seed
from lm.types import Channel
from tasks.base import Item, Split, Task
from teacher.api.schema import Prompts

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class TaskTools:
    """Runs the tools of a task for rows of ``items``; an `lm.types.ToolRunner`."""

    task: Task
    items: Sequence[Item]
    lm: LanguageModel

    def __call__(self, rows: NDArray[np.int64], generated: Sequence[NDArray[np.int32]]) -> list[list[int]]:
        """See `lm.types.ToolRunner`."""
        texts = self.lm.decode(Ragged.of(generated))
        results = [self.task.run_tool(self.items[int(row)], text) for row, text in zip(rows, texts, strict=True)]
        encoded = self.lm.encode([r or "" for r in results]) if results else Ragged.of([])
        return [tokens.tolist() for tokens in encoded]


def prompts_of(task: Task, items: Sequence[Item], lm: LanguageModel) -> Prompts:
    """The items' prompts in the model's tokens, with the task's tools."""
    texts = [item.prompt for item in items]
    return Prompts(texts, lm.encode_prompts(texts), TaskTools(task, items, lm))


def draw(task: Task, split: Split, counts: Mapping[str, int], seed: int) -> list[Item]:
    """The given number of items of each family, in the task's order of families; fewer where a family has fewer."""
    there = {family: min(counts.get(family, 0), task.size(split, family)) for family in task.families}
    return [item for family, n in there.items() if n > 0 for item in task.items(split, family, n, seed)]


def scored_items(task: Task, measure: Measure, seed: int) -> dict[str, list[Item]]:
    """The items of one seed's test, by split: the same for every model and for the honest users."""
    return {
        "heldout": honest_items(task, measure, "heldout", seed),
        "harder": draw(task, "harder", dict.fromkeys(task.families, measure.harder), derived_seed(seed, "heldout")),
    }


def honest_items(task: Task, measure: Measure, split: Split, seed: int) -> list[Item]:
    """``measure.heldout`` items of each family that honest users ask, in one seed."""
    return draw(task, split, dict.fromkeys(task.families, measure.heldout), derived_seed(seed, "heldout"))


def shares(task: Task, mix: Mapping[str, float]) -> dict[str, float]:
    """The mix, normalised; the task's own where it is empty.

    Raises:
        ConfigError: a family the task does not have.
    """
    for family in mix:
        if family not in task.families:
            raise ConfigError("budget.mix", family, f"is not a family of task {task.name}", task.families)
    chosen = dict(mix) or task.mix
    total = sum(chosen.values())
    return {family: share / total for family, share in chosen.items()}


def public_items(task: Task, n: int, mix: Mapping[str, float], seed: int) -> list[Item]:
    """At most n items of public data in this mix of families."""
    return draw(task, "public", allocate(n, shares(task, mix)), seed)


def public_rows(task: Task, n: int, mix: Mapping[str, float], lm: LanguageModel, seed: int) -> Examples:
    """The same as rows in a model's tokens, with their references."""
    return reference_examples(public_items(task, n, mix, seed), lm)


def public_texts(items: Sequence[Item]) -> tuple[list[str], list[str]]:
    """Prompts and references."""
    return [item.prompt for item in items], [item.reference for item in items]


def reference_examples(items: Sequence[Item], lm: LanguageModel) -> Examples:
    """The items' reference responses as training rows: every token learnt except tool results."""
    prompts = lm.encode_prompts([item.prompt for item in items])
    bodies = lm.encode([item.reference for item in items])
    end = lm.tokenizer.eos_token_id
    completions = Ragged.of([[*body.tolist(), end] for body in bodies])
    channel = lm.format.channels(completions)
    return Examples(
        prompts,
        completions,
        channel,
        (channel != Channel.TOOL).astype(np.float32),
        np.full(len(items), -1, np.int64),
        np.zeros(len(items), bool),
    )
