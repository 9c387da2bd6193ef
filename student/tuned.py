"""A pretrained model that is taught the task first: the task's own worked solutions, to prompts that nobody is scored on and
that no attacker asks."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from configs.errors import ConfigError, require
from configs.ranges import at_least, between
from lm.examples import Examples
from lm.huggingface import Pretrained
from lm.model_spec import ModelSpec, Weights
from lm.ragged import Ragged
from lm.seeds import derived_seed, generator
from lm.types import Channel, Progress
from student.huggingface import HFRecipe, HFStudent
from student.objectives.sft import SFT
from student.objectives.sft_answers import strip_trace
from tasks.base import Item, Task

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


@dataclass(frozen=True)
class HFTunedTeacher(Pretrained, ModelSpec):
    """A model as of `lm.huggingface.Pretrained`, fine-tuned on `Task.worked` of the public or the provider split: never on
    prompts that attackers ask or on which anybody is scored.

    Of a share of the rows with working, the working is left out, so that the teacher can answer at once too. There the
    first token of the answer is given and not learnt: the teacher answers at once where somebody has begun the answer for
    it (a prefill of the answer's marker), and does not come to leave its working out by itself.

    Args:
        rows: different prompts that it is taught on.
        mix: shares of the families in them; {} for the task's own mix.
        bare: share of the rows with working that are taught without it.
        split: where the prompts come from. Defenses are prepared on the provider split, so a teacher taught on it knows
            these prompts.
        recipe: how it is trained, and what of it: `student.huggingface.HFRecipe`.
    """

    name: ClassVar[str] = "hf_tuned_teacher"
    version: ClassVar[int] = 2

    rows: int = 4800
    mix: dict[str, float] = field(default_factory=dict)
    bare: float = 0.2
    split: Literal["public", "provider"] = "public"
    recipe: HFRecipe = field(default_factory=lambda: HFRecipe(steps=300))

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "rows")
        at_least(self, 0, "mix")
        between(self, 0, 1, "bare")
        require(not self.mix or sum(self.mix.values()) > 0, "mix", self.mix, "must give some family a share")
        _ = self.model  # what its training needs is looked at here

    @property
    def model(self) -> HFStudent:
        """The pretrained model as one that can be trained."""
        own = {f.name: getattr(self, f.name) for f in fields(Pretrained)}
        return HFStudent(**own, recipe=self.recipe)

    @property
    def label(self) -> str:
        """See `ModelSpec.label`."""
        return f"{super().label}, tuned"

    @property
    def origin(self) -> str:
        """See `ModelSpec.origin`: a tuned model is another than the one it was made of."""
        return f"{super().origin}, tuned"

    def check(self, task: Task, max_tokens: int) -> None:
        """See `Pretrained.check`; the families are the task's, and have so many prompts."""
        super().check(task, max_tokens)
        for family, count in self._counts(task).items():
            size, reason = (
                task.size(self.split, family),
                f"gives {count} rows of {family}, and the {self.split} split has",
            )
            require(count <= size, "rows", self.rows, f"{reason} {size}")

    def memory(self, task: Task) -> int:
        """See `HFStudent.memory`."""
        return self.model.memory(task)

    def train(self, task: Task, seed: int, progress: Progress) -> Weights:
        """See `ModelSpec.train`: the adapter, or all weights.

        Raises:
            ConfigError: the task has neither working nor reference, or a row is longer than the model's texts can be.
        """
        model = self.model
        base = model.load(task, {}, seed)
        rows = self.lessons(task, base, seed)
        return model.fit(base, rows, SFT(), derived_seed(seed, "order"), progress).weights

    def load(self, task: Task, weights: Weights, seed: int) -> LanguageModel:
        """See `ModelSpec.load`."""
        return self.model.load(task, weights, seed)

    def lessons(self, task: Task, lm: LanguageModel, seed: int) -> Examples:
        """The rows that it is taught, in the model's tokens: with their working first, then those without."""
        items = [
            item
            for family, count in self._counts(task).items()
            if count
            for item in task.items(self.split, family, count, derived_seed(seed, self.split))
        ]
        rows = _rows(items, _worked(task, items), lm)
        working = rows.completions.row_of_value[rows.channel == Channel.TRACE]
        has_working = np.bincount(working, minlength=len(rows)) > 0
        bare = has_working & (generator(seed, "bare").random(len(rows)) < self.bare)
        answers = lm.tokenizer.batch_decode([*strip_trace(rows.where(bare)).completions], skip_special_tokens=True)
        asked = [item for item, at_once in zip(items, bare, strict=True) if at_once]
        return Examples.concat([rows.where(~bare), _begun(_rows(asked, [text.lstrip() for text in answers], lm))])

    def _counts(self, task: Task) -> dict[str, int]:
        """How many rows each family gets.

        Raises:
            ConfigError: a family that the task does not have.
        """
        mix = self.mix or task.mix
        for family in mix:
            if family not in task.families:
                raise ConfigError("mix", family, f"is not a family of task {task.name}", task.families)
        return {family: round(self.rows * share / sum(mix.values())) for family, share in mix.items()}


def _worked(task: Task, items: list[Item]) -> list[str]:
    """A full right response to each."""
    texts = [task.worked(item) for item in items]
    for item, text in zip(items, texts, strict=True):
        require(bool(text), "task", task.name, f"knows no right response to teach for family {item.family}")
    return texts


def _rows(items: list[Item], texts: list[str], lm: LanguageModel) -> Examples:
    """Prompts with these responses and their end: all of it is learnt, but for tool results."""
    completions = Ragged.of([[*body.tolist(), lm.tokenizer.eos_token_id] for body in lm.encode(texts)])
    channel = lm.format.channels(completions)
    return Examples(
        lm.encode_prompts([item.prompt for item in items]),
        completions,
        channel,
        (channel != Channel.TOOL).astype(np.float32),
        np.full(len(items), -1, np.int64),
        np.zeros(len(items), np.bool_),
    )


def _begun(rows: Examples) -> Examples:
    """Rows whose first token is given and not learnt."""
    weight = rows.weight.copy()
    weight[rows.completions.offsets[:-1]] = 0
    return rows.with_weight(weight)
