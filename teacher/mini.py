"""The mini teacher: one decoder taught all four families of the mini world from seeded responses in many wordings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from configs.errors import require
from configs.identity import added
from configs.ranges import at_least, between
from lm.examples import Examples
from lm.mini.size import memory_of
from lm.model_spec import ModelSpec, Weights
from lm.recipe import Recipe
from lm.types import Progress
from student.objectives.sft import SFT
from tasks.base import Item, Task
from tasks.mini import MiniTask, Wording, mini_world
from tasks.mini.chain import Chain
from tasks.mini.code import Code

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

EARLY, MIDDLE = 0.35, 0.6
"""Shares of the training at which the rows a step of each family change."""
PHASES = (0.0, EARLY, MIDDLE)


@dataclass(frozen=True)
class Curriculum:
    """What the teacher is shown when.

    Args:
        chain: chain rows a step.
        code, facts, tool: rows a step early, in the middle and late.
        short: share of the training with chains of one to three steps only.
        merging: share of the training with many merged steps and split states, which are hard to learn.
        merge_rate: merge rate during that share; later it is the wording's own.
        state_weight: loss weight of stated states.
        split_rate: share of split states during the same share of the training.
    """

    chain: int = 64
    code: tuple[int, int, int] = (24, 12, 6)
    facts: tuple[int, int, int] = (42, 42, 24)
    tool: tuple[int, int, int] = (24, 12, 8)
    short: float = 0.2
    merging: float = 0.65
    merge_rate: float = 0.4
    state_weight: float = 3.0
    split_rate: float = added(0.0)

    def __post_init__(self) -> None:
        at_least(self, 0, "chain", "code", "facts", "tool", "state_weight")
        between(self, 0, 1, "short", "merging", "merge_rate", "split_rate")
        for done in PHASES:
            require(
                sum(self.rows(done).values()) > 0, "chain", self.chain, "leaves a part of the training without a row"
            )

    def rows(self, done: float) -> dict[str, int]:
        """Rows of each family when the share ``done`` of the training is over."""
        phase = 0 if done < EARLY else 1 if done < MIDDLE else 2
        return {"chain": self.chain, "code": self.code[phase], "facts": self.facts[phase], "tool": self.tool[phase]}


@dataclass(frozen=True)
class MiniTeacher(ModelSpec):
    """Trains a teacher from scratch and serves it.

    Args:
        width, layers, heads: shape of the model.
        wording: how the finished teacher words its responses.
        curriculum: what it is shown when.
        recipe: how it is optimised; ``batch_size`` is not used, the curriculum says the rows of a step.
    """

    name: ClassVar[str] = "mini_teacher"
    version: ClassVar[int] = 1

    width: int = 96
    layers: int = 3
    heads: int = 4
    wording: Wording = field(default_factory=Wording)
    curriculum: Curriculum = field(default_factory=Curriculum)
    recipe: Recipe = field(
        default_factory=lambda: Recipe(steps=640, batch_size=64, lr=0.008, other_lr=0.008, decay=0.6)
    )

    def __post_init__(self) -> None:
        at_least(self, 1, "width", "layers", "heads")
        require(self.width % (2 * self.heads) == 0, "teacher.width", self.width, "must be a multiple of 2 x heads")

    @property
    def label(self) -> str:
        """See `ModelSpec.label`."""
        return "mini"

    def check(self, task: Task, max_tokens: int) -> None:
        """See `ModelSpec.check`: the mini world only."""
        mini_world(task, "teacher")

    def memory(self, task: Task) -> int:
        """See `lm.mini.size`: the world, the weights in training, the rows of a step."""
        rows = max(sum(self.curriculum.rows(done).values()) for done in PHASES)
        return memory_of(self.width, self.layers, rows, self.recipe.micro_tokens)

    def train(self, task: Task, seed: int, progress: Progress) -> Weights:
        """See `ModelSpec.train`.

        Raises:
            configs.errors.ConfigError: the task is not the mini world.
        """
        from lm.from_words import fresh_model, mini_language_model, weights_of
        from lm.mini.train import Member, train_mini

        world = mini_world(task, "teacher")
        rng = np.random.default_rng([seed, 0x7EAC])
        lm = mini_language_model(fresh_model(self.width, self.layers, self.heads, seed))

        def batches(step: int) -> Examples:
            return self._lesson(world, lm, step / self.recipe.steps, rng)

        train_mini([Member(lm.model, batches, SFT().losses, self.recipe)], int(lm.tokenizer.pad_token_id), progress)
        return weights_of(lm)

    def load(self, task: Task, weights: Weights, seed: int) -> LanguageModel:
        """See `ModelSpec.load`."""
        from lm.from_words import fresh_model, mini_language_model

        lm = mini_language_model(fresh_model(self.width, self.layers, self.heads, seed))
        lm.model.load_state_dict(weights)
        return lm

    def _lesson(self, world: MiniTask, lm: LanguageModel, done: float, rng: np.random.Generator) -> Examples:
        """The rows of one step."""
        from lm.from_words import word_examples

        c = self.curriculum
        hard = replace(self.wording, merge=c.merge_rate, split=c.split_rate)
        wording = hard if done < c.merging else self.wording
        items = [
            _taught(world, family, done < c.short, rng) for family, count in c.rows(done).items() for _ in range(count)
        ]
        responses = [world.seeded_response(item, rng, wording) for item in items]
        return word_examples(lm, [item.prompt for item in items], responses, c.state_weight)


def _taught(world: MiniTask, family: str, short: bool, rng: np.random.Generator) -> Item:
    """A random item that is neither held out nor harder; chains and code may be shorter than asked ones."""
    part = world.family(family)
    while True:
        if isinstance(part, Chain):
            prompt = part.compose(int(rng.integers(1, 4) if short else rng.integers(2, part.high + 1)), rng)
        elif isinstance(part, Code):
            prompt = part.compose(int(rng.integers(1, part.high + 1)), rng)
        else:
            prompt = part.draw("public" if rng.random() < 0.1 else "train", rng)
        if part.split_of(prompt) not in ("heldout", "harder"):
            return part.item(prompt, rng)
