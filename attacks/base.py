"""The contract of an attack: harvest x recover x objective x refine. Knows nothing of defenses.

Each part is one frozen dataclass in one file, whose fields are its configuration, and one YAML that names it.
`Objective` lives in `student.objectives`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from attacks.budget import Budget
from attacks.client import Client, Harvested
from attacks.compute import ComputeMeter
from attacks.knowledge import Level, Rehearsed
from attacks.public import Public, PublicTexts
from configs.identity import Part, added
from configs.ranges import at_least
from lm.examples import Examples
from lm.ragged import Ragged
from lm.types import Progress, ResponseFormat, ToolRunner
from teacher.api.interface import Interface

if TYPE_CHECKING:
    from lm.language_model import LanguageModel
    from student.objectives.base import Objective


def untold(done: int, total: int, note: str = "") -> None:
    """Progress that nobody is told."""


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


class FitRows(Protocol):
    """How an attacker trains a model of his own."""

    def __call__(
        self, rows: Examples, start: LanguageModel | None = None, objective: Objective | None = None, seed: int = 0
    ) -> LanguageModel:
        """A model trained on these rows, in his own model's tokens, with the recipe of the cell.

        Args:
            rows: what to learn.
            start: the model to go on from, left as it is; None for his own model before any query.
            objective: what is minimised; None for the cell's.
            seed: another one shuffles the rows otherwise: for several models of one kind.
        """
        ...


class FitHarvested(Protocol):
    """How an attacker trains a model of his own on answers of the API."""

    def __call__(self, so_far: Harvested, seed: int = 0) -> LanguageModel:
        """A copy of his model before any query, trained on them with the objective and recipe of the cell; another seed
        shuffles the rows otherwise: for several models of one kind."""
        ...


@dataclass(frozen=True)
class HarvestContext:
    """What an attacker has while he asks; what the API sells, and its tokenizer, `Client` tells.

    Args:
        student: builds his own model before any query (public base weights).
        fit: trains a copy of his model on what he has so far; for harvests that train in between.
        rng: explicit generator of this stage.
        check: his own checker, as in `RecoverContext`, for harvests that say ``checks``; None for texts of his own making.
        fit_rows: trains on rows of his own making, also from a model trained before (`trains_between`).
        public: ``public(n)`` gives n rows of public data (what everybody has), in the teacher's tokens.
    """

    student: Callable[[], LanguageModel]
    fit: FitHarvested
    rng: np.random.Generator
    check: Callable[[int, str], bool | None] = lambda item, text: None
    fit_rows: FitRows | None = None
    public: Public | None = None


@dataclass(frozen=True)
class Harvest(Part, ABC):
    """Which prompts to send, in which order, how often.

    Args:
        temperature: at which the API is asked for answers, unless a request needs another one; 0 for the most probable text.

    ``adaptive``: whether it answers to a defense (by what came back, or meant against one), unlike passive ones.
    ``trains_between``: whether it trains the attacker's student in between (then student and objective enter its key).
    ``own_texts``: whether it asks texts of its own making (`Client.own`); of these, answers to what a scored item asks are
    not learnt from (then the scored items enter the training set's key). ``checks``: whether it uses his own checker (then
    the families that he can check enter its key). ``tunes``: the fields that `moatbench worst-case` changes in its search
    for the strongest attack, each with the values worth trying. ``needs``: fields of `Interface` that have to be sold.

    One that asks the longest prompts first, greedily, as an example:

    >>> @dataclass(frozen=True)
    ... class LongestFirst(Harvest):
    ...     name: ClassVar[str] = "longest_first"
    ...     version: ClassVar[int] = 1
    ...     source: ClassVar[str] = "an example"
    ...
    ...     def run(self, client, pool, context):
    ...         order = np.argsort([-len(text) for text in pool.texts], kind="stable")
    ...         return client.ask(order[: client.remaining], temperature=0.0)
    >>> class ClientThatShows:
    ...     remaining = 2
    ...     def ask(self, items, **parameters):
    ...         return items.tolist(), parameters
    >>> pool = Pool(["1 + 1", "2 + 2 + 2", "3 + 3 + 3 + 3"], np.array(["sums"] * 3, object), {"sums": 1.0})
    >>> LongestFirst().run(ClientThatShows(), pool, context=None)
    ([2, 1], {'temperature': 0.0})
    """

    kind: ClassVar[str] = "harvest"
    source: ClassVar[str]
    adaptive: ClassVar[bool] = False
    trains_between: ClassVar[bool] = False
    own_texts: ClassVar[bool] = False
    checks: ClassVar[bool] = False
    tunes: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    needs: ClassVar[tuple[str, ...]] = ()

    temperature: float = added(1.0, kw_only=True)

    def __post_init__(self) -> None:
        at_least(self, 0, "temperature")

    def prompts_needed(self, queries: int) -> int:
        """How many distinct prompts a budget of so many queries takes."""
        return queries

    def draws_of_one(self, budget: Budget) -> int:
        """How often, at most, it asks one prompt for an answer of its own."""
        return 1

    @abstractmethod
    def run(self, client: Client, pool: Pool, context: HarvestContext) -> Harvested:
        """Spend the budget. `Client.ask` enforces it and gives back what was answered."""


class OwnRows(Protocol):
    """From the teacher's tokens to those of the attacker's model."""

    def __call__(self, rows: Examples, objective: Objective | None = None) -> Examples:
        """The rows as an objective reads them; None for the cell's."""
        ...


@dataclass(frozen=True)
class RecoverContext:
    """What an attacker has while he cleans. Rows are in the teacher's tokens until the last step is done.

    Args:
        texts: his prompts, by item; those of his pool, then those of his own making.
        check: his own checker: ``check(item, text)`` says whether a response text is right for that prompt, None where
            he cannot tell (he has no checker for that family).
        format: how responses are spelt.
        decode: token rows to texts.
        public: ``public(n)`` gives n rows of public data (what everybody has), in the same tokens; ``public(n, 1)`` others,
            drawn anew.
        public_texts: the same as texts, to be put together otherwise.
        rng: explicit generator of this stage.
        interface: what the API sells, as its documentation says (`attacks.knowledge.Knowledge.of`).
        refused: (K,) items that were asked and never answered.
        encode: ``encode(items, texts)`` makes rows of responses to prompts of his, in the same tokens.
        rows: ``rows(prompts, texts)`` makes rows, of item -1, of anybody's prompts but those that ask for what is scored.
        family: (P,) capability family of each of his prompts, as he labels them himself; "" for texts of his own making.
        tools: runs the tools that his prompts may call; rows are items. None where there are none.
        max_tokens: of a response.
        progress: told how far the work is.
        student: builds his own model before any query; a recover step that uses it says ``trains``.
        fit: trains a copy of his own model on rows in *its* tokens (`own`), and books its steps.
        own: puts rows into his own model's tokens, as an objective reads them; None for the cell's.
        compute: what he may spend on his own machines, for steps that say ``trains``; each books there what it draws. What
            is left is for `Refine`.
        rehearsed: what a step that says ``rehearses`` has tried out of the API on a model of his own, as far as he knows it.
    """

    texts: Sequence[str]
    check: Callable[[int, str], bool | None]
    format: ResponseFormat
    decode: Callable[[Examples], list[str]]
    public: Public
    rng: np.random.Generator
    interface: Interface = field(default_factory=Interface)
    refused: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    public_texts: PublicTexts | None = None
    encode: Callable[[NDArray[np.int64], Sequence[str]], Examples] | None = None
    rows: Callable[[Sequence[str], Sequence[str]], Examples] | None = None
    family: NDArray[np.object_] = field(default_factory=lambda: np.zeros(0, object))
    tools: ToolRunner | None = None
    max_tokens: int = 64
    progress: Progress = untold
    student: Callable[[], LanguageModel] | None = None
    fit: FitRows | None = None
    own: OwnRows | None = None
    compute: ComputeMeter | None = None
    rehearsed: Rehearsed | None = None


class Recover(Part, ABC):
    """Cleans what was harvested; several are applied in order.

    ``adaptive``: whether it undoes what a defense did, see `Harvest`. ``trains``: whether it uses a model of the attacker's
    own (then the student, the objective, his base model and his own compute enter its key). ``without_teacher``: whether
    the twin that never meets the teacher (``S_self``) takes this step too, as it takes the same effort otherwise.
    ``rehearses``: the least that he has to know of the API (`attacks.knowledge.LEVELS`) for a step that learns from
    `RecoverContext.rehearsed`; "" for one that does not.
    ``checks``: whether it uses his own checker (then how often that errs enters its key). ``tunes``: see `Harvest`.

    One that drops responses whose trace was visibly cut, as an example:

    >>> @dataclass(frozen=True)
    ... class Whole(Recover):
    ...     name: ClassVar[str] = "whole"
    ...     version: ClassVar[int] = 1
    ...     source: ClassVar[str] = "an example"
    ...
    ...     def apply(self, data, context):
    ...         return data.where(~data.cut)
    >>> tokens, answer = Ragged.of([[7], [8], [9]]), np.full(3, 4, np.uint8)
    >>> cut = np.array([False, True, False])
    >>> rows = Examples(tokens, tokens, answer, np.ones(3, np.float32), np.arange(3), cut)
    >>> Whole().apply(rows, context=None).item.tolist()
    [0, 2]
    """

    kind: ClassVar[str] = "recover"
    source: ClassVar[str]
    adaptive: ClassVar[bool] = False
    trains: ClassVar[bool] = False
    without_teacher: ClassVar[bool] = True
    rehearses: ClassVar[Level | Literal[""]] = ""
    checks: ClassVar[bool] = True
    tunes: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    @abstractmethod
    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """A better training set. Rows whose trace was visibly cut have ``data.cut`` set."""


@dataclass(frozen=True)
class RefineContext:
    """What an attacker has when the API is closed to him.

    Args:
        student: his model after distillation; copy what is to be changed.
        texts: the prompts that he owns.
        family: (P,) capability family of each, as he labels them himself.
        prompts: the same in the student's tokens and chat template.
        check: his own checker, as in `RecoverContext`.
        tools: runs the tools that his prompts may call; rows of ``prompts``. None where there are none.
        data: what the student was trained on.
        fit: goes on training (``start``), with the objective and recipe of the cell.
        compute: what he may still spend on his own machines; every part books there what it takes.
        rng: explicit generator of this stage.
        progress: told how far the work is.
        max_tokens: of a response.
    """

    student: LanguageModel
    texts: Sequence[str]
    family: NDArray[np.object_]
    prompts: Ragged
    check: Callable[[int, str], bool | None]
    tools: ToolRunner | None
    data: Examples
    fit: FitRows
    compute: ComputeMeter
    rng: np.random.Generator
    progress: Progress
    max_tokens: int


class Refined(NamedTuple):
    """What refining gives.

    Args:
        model: the student afterwards.
        curve: (steps,) what was rewarded or lost at each step, as the attacker saw it himself.
    """

    model: LanguageModel
    curve: NDArray[np.float32]


class Refine(Part, ABC):
    """What the attacker does after distillation, without the teacher, on his own compute (`Compute`).

    ``adaptive``: whether it is meant against a defense, ``tunes``: what a search may change, see `Harvest`. ``checks``:
    whether it uses his own checker (then the families that he can check, and how often it errs, enter its key).

    One that trains the student on its training set once more, as an example:

    >>> @dataclass(frozen=True)
    ... class OnceMore(Refine):
    ...     name: ClassVar[str] = "once_more"
    ...     version: ClassVar[int] = 1
    ...     source: ClassVar[str] = "an example"
    ...
    ...     def run(self, context):
    ...         return Refined(context.fit(context.data, context.student), curve=np.zeros(0, np.float32))
    >>> from types import SimpleNamespace
    >>> known = SimpleNamespace(student="student", data="its rows", fit=lambda rows, start: f"{start} after {rows} again")
    >>> OnceMore().run(known).model
    'student after its rows again'
    """

    kind: ClassVar[str] = "refine"
    source: ClassVar[str]
    adaptive: ClassVar[bool] = False
    checks: ClassVar[bool] = True
    tunes: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    @abstractmethod
    def run(self, context: RefineContext) -> Refined:
        """A better student. `ComputeMeter` enforces the compute budget."""
