"""The mini world as a task: four capability families that 0.1M-parameter models learn in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np

from configs.errors import ConfigError, require
from tasks.base import Item, Split, Task, Verdict
from tasks.mini.chain import Chain
from tasks.mini.code import Code
from tasks.mini.facts import Facts
from tasks.mini.family import Family, Wording
from tasks.mini.tool import Tool
from tasks.mini.words import WORDS

SPLITS: tuple[Split, ...] = ("train", "heldout", "harder", "public", "provider")


@dataclass(frozen=True)
class MiniTask(Task):
    """Reasoning, coding, knowledge and tool use over a closed vocabulary.

    Args:
        world: seed of what is arbitrary in this world (the fact table).
        n_facts: private keys of the fact table.
        chain_low: fewest steps of asked chains.
        chain_high: most steps of asked chains; harder ones have up to two more, at most 8.
    """

    name: ClassVar[str] = "mini"
    version: ClassVar[int] = 2
    changes: ClassVar[Mapping[int, str]] = {
        2: "2026-11-28: splits differ in what prompts ask for, not in words alone; 12 list functions instead of 8 and 6 "
        "tools instead of 4, so that each split has room; one answer is read from a response"
    }
    source: ClassVar[str] = "this project"
    families: ClassVar[tuple[str, ...]] = ("chain", "code", "facts", "tool")

    world: int = 0
    n_facts: int = 256
    chain_low: int = 4
    chain_high: int = 6

    def __post_init__(self) -> None:
        require(self.world >= 0, "task.world", self.world, "must be at least 0")
        require(1 <= self.chain_low <= self.chain_high, "task.chain_low", self.chain_low, "must be in [1, chain_high]")
        require(self.chain_high <= 7, "task.chain_high", self.chain_high, "must be at most 7: there are 8 functions")
        Facts(self.n_facts, self.world)

    @property
    def words(self) -> tuple[str, ...]:
        """Every word of prompts and responses, in the order of their token ids."""
        return WORDS

    @cached_property
    def parts(self) -> dict[str, Family]:
        """The families by name; worlds that agree on a family share it, and with it what it has counted and tabulated."""
        chain = Chain(self.chain_low, self.chain_high, min(8, self.chain_high + 2))
        parts: dict[str, Family] = {
            "chain": chain,
            "code": Code(),
            "facts": Facts(self.n_facts, self.world),
            "tool": Tool(),
        }
        return {name: _shared(part) for name, part in parts.items()}

    def items(self, split: Split, family: str, n: int, seed: int) -> list[Item]:
        """See `Task.items`."""
        if split not in SPLITS:
            raise ConfigError("split", split, "unknown split", SPLITS)
        part = self.family(family)
        rng = np.random.default_rng([seed, SPLITS.index(split), self.families.index(family)])
        return [part.item(prompt, rng) for prompt in part.prompts(split, n, rng)]

    def size(self, split: Split, family: str) -> int:
        """See `Task.size`."""
        return self.family(family).size(split)

    def meaning(self, item: Item) -> str:
        """See `Task.meaning`; held-out and provider facts mean what training facts mean, by design."""
        return f"{item.family} {self.family(item.family).meaning(tuple(item.prompt.split()))}"

    def asks_for(self, prompt: str) -> str:
        """See `Task.asks_for`: of chain, code and tool prompts the meaning, of facts the words."""
        words = tuple(prompt.split())
        found = (f"{name} {part.asks_for(words)}" for name, part in self.parts.items() if part.reads(words))
        return next(found, super().asks_for(prompt))

    @property
    def mix(self) -> dict[str, float]:
        """Shares of a query budget: the reasoning that is hardest to learn gets about half."""
        return {"chain": 1000 / 2128, "code": 600 / 2128, "facts": 128 / 2128, "tool": 400 / 2128}

    @property
    def checkable(self) -> tuple[str, ...]:
        """All but the facts: whoever can check a private fact has no need to ask for it."""
        return ("chain", "code", "tool")

    def family(self, name: str) -> Family:
        """One family.

        Raises:
            configs.errors.ConfigError: there is none of this name.
        """
        if name not in self.parts:
            raise ConfigError("family", name, "unknown family of task 'mini'", self.families)
        return self.parts[name]

    def verify(self, item: Item, response: str) -> Verdict:
        """See `Task.verify`."""
        return self.family(item.family).verify(item, tuple(response.split()))

    def formed(self, item: Item, response: str) -> bool:
        """See `Task.formed`."""
        return self.family(item.family).formed(item, tuple(response.split()))

    def run_tool(self, item: Item, generated: str) -> str | None:
        """See `Task.run_tool`."""
        return Tool.run(item, generated.split()) if item.family == "tool" else None

    def audit(self, item: Item, response: str) -> bool | None:
        """See `Task.audit`; `Chain.audit` says more."""
        part = self.family(item.family)
        return part.sound(item, tuple(response.split())) if isinstance(part, Chain) else None

    def seeded_response(self, item: Item, rng: np.random.Generator, wording: Wording | None = None) -> str:
        """One of the many right ways to respond to an item, tool results included."""
        return self.family(item.family).respond(item, rng, wording or Wording())


@lru_cache(maxsize=64)
def _shared(family: Family) -> Family:
    """The first family made that is equal to this one: counting the prompts of its splits takes up to a second."""
    return family


def mini_world(task: Task, who: str) -> MiniTask:
    """The task, if it is the mini world.

    Raises:
        configs.errors.ConfigError: it is another.
    """
    if not isinstance(task, MiniTask):
        raise ConfigError(who, task.name, "a mini model can only be trained on task 'mini'")
    return task
