"""The contract of an attack: harvest x recover x objective. Knows nothing of defenses.

Each part is one frozen dataclass in one file, whose fields are its configuration, and one YAML that names it.
`Objective` lives in `student.objectives`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from attacks.client import Client, Harvested
from configs.identity import Part
from lm.examples import Examples
from lm.language_model import LanguageModel
from lm.types import ResponseFormat


@dataclass(frozen=True)
class Pool:
    """The prompts an attacker owns: his data budget. No answers.

    Args:
        texts: P prompts.
        family: (P,) capability family of each, as the attacker labels them himself.
        mix: share of the query budget he wants to spend on each family.
    """

    texts: Sequence[str]
    family: NDArray[np.object_]
    mix: dict[str, float]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class HarvestContext:
    """What an attacker has while he asks.

    Args:
        student: builds his own model before any query (public base weights).
        fit: trains a copy of his model on what he has so far; for harvests that train in between.
        rng: explicit generator of this stage.
    """

    student: Callable[[], LanguageModel]
    fit: Callable[[Harvested], LanguageModel]
    rng: np.random.Generator


class Harvest(Part, ABC):
    """Which prompts to send, in which order, how often.

    ``adaptive``: whether it answers to a defense (what it does depends on what came back, or is meant against one); tables
    of the worst case tell such attacks from passive ones. ``trains_between``: whether it trains the attacker's student in
    between (then the student and the objective enter its key).
    """

    kind: ClassVar[str] = "harvest"
    source: ClassVar[str]
    adaptive: ClassVar[bool] = False
    trains_between: ClassVar[bool] = False

    def prompts_needed(self, queries: int) -> int:
        """How many distinct prompts a budget of so many queries takes."""
        return queries

    @abstractmethod
    def run(self, client: Client, pool: Pool, context: HarvestContext) -> Harvested:
        """Spend the budget. `Client.ask` enforces it and gives back what was answered."""


@dataclass(frozen=True)
class RecoverContext:
    """What an attacker has while he cleans.

    Args:
        texts: his prompts, by item.
        check: his own checker: ``check(item, text)`` says whether a response text is right for that prompt, None where
            he cannot tell (he has no checker for that family).
        format: how responses are spelt.
        decode: token rows to texts.
        public: ``public(n)`` gives n rows of public data (what everybody has), in the same tokens.
        rng: explicit generator of this stage.
    """

    texts: Sequence[str]
    check: Callable[[int, str], bool | None]
    format: ResponseFormat
    decode: Callable[[Examples], list[str]]
    public: Callable[[int], Examples]
    rng: np.random.Generator


class Recover(Part, ABC):
    """Cleans what was harvested; several are applied in order.

    ``adaptive``: whether it undoes what a defense did, see `Harvest`.
    """

    kind: ClassVar[str] = "recover"
    source: ClassVar[str]
    adaptive: ClassVar[bool] = False

    @abstractmethod
    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """A better training set. Rows whose trace was visibly cut have ``data.cut`` set."""
