"""The contract of a defense: hooks at the points where a provider can act, before, while and after its API serves. Knows
nothing of attacks.

A defense is one frozen dataclass in one file, whose fields are its configuration, and one YAML that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from configs.identity import Part, identity, named
from defenses.strength import Strength
from lm.examples import Examples
from lm.types import ResponseFormat
from teacher.api import hooks
from teacher.api.hooks import NOBODY, AdmissionState, Hooks, Prepared, ReleaseContext, RequestFacts, Serving, no_model
from teacher.api.schema import Prompts, Requests, Responses

if TYPE_CHECKING:
    from lm.language_model import LanguageModel
    from lm.types import Progress
    from teacher.api.accounts import Accounts

__all__ = [
    "NOBODY",
    "AdmissionState",
    "Answered",
    "Defense",
    "Deployed",
    "Detection",
    "Evidence",
    "OwnItems",
    "Preparation",
    "Prepared",
    "ReleaseContext",
    "RequestFacts",
    "Serving",
    "Traffic",
    "hooks_of",
    "no_traffic",
    "preparation_of",
]


class Traffic(NamedTuple):
    """Requests as a provider sees them.

    Args:
        requests: B of them.
        prompts: what they ask.
        accounts: who asks.
        output_tokens: (B,) int32 tokens of the answers.
    """

    requests: Requests
    prompts: Prompts
    accounts: Accounts
    output_tokens: NDArray[np.int32]


def no_traffic(count: int) -> Traffic:
    """For preparations that have none."""
    raise ConfigError("prepare", count, "needs past requests to be fitted on, and there are none here")


class OwnItems(NamedTuple):
    """Tasks of the provider's own, disjoint from what attackers own and from what students are scored on.

    Args:
        prompts: I prompts, in the teacher's tokens, with the tools they may call.
        family: (I,) capability family of each.
        check: ``check(i, text)`` says whether a response to prompt i is right.
    """

    prompts: Prompts
    family: NDArray[np.object_]
    check: Callable[[int, str], bool]


def no_items(count: int) -> OwnItems:
    """For preparations that have none."""
    raise ConfigError("prepare", count, "needs tasks of the provider's own, and there are none here")


class ProxyFit(Protocol):
    """Trains a student of the provider's own."""

    def __call__(self, rows: Examples, steps: int | None = None) -> LanguageModel:
        """A copy of the proxy trained on ``rows``, in at most ``steps`` optimizer steps where that is given."""
        ...


def no_public(count: int, seed: int) -> Examples:
    """For preparations that have none."""
    raise ConfigError("prepare", count, "needs public rows, and there are none here")


def no_fit(rows: Examples, steps: int | None = None) -> LanguageModel:
    """For preparations that cannot train."""
    raise ConfigError("prepare", len(rows), "trains a student of the provider's own, and there is none here")


def untold(done: int, total: int, note: str = "") -> None:
    """Progress that nobody is told."""


@dataclass(frozen=True)
class Preparation:
    """What a provider has at hand before it opens the API.

    Args:
        teacher: the model to be defended. It is shared: copy what is to be changed.
        proxy: builds the student-sized model the provider owns (public base weights); called only when needed.
        clean_traces: ``clean_traces(n)`` gives n undefended, correct teacher responses on prompts of the provider's own
            (train split, disjoint from the attacker's pool), as training rows in the teacher's tokens.
        rng: explicit generator of this stage.
        benign: ``benign(n)`` gives n requests of honest accounts, as the provider has seen them before.
        red_team: ``red_team(n)`` gives n requests of the provider's own red team, which harvests as it expects others to.
        items: ``items(n)`` gives n tasks of the provider's own with their checker.
        model: builds another model that the defense says it uses, by name (`Hooks.uses`).
        fit: trains a copy of the proxy on rows, as a student would be or in fewer steps (`Defense.trains`).
        public: ``public(n, seed)`` gives n rows of public data, which everybody has and no teacher wrote, in the teacher's
            tokens; those of another seed are drawn anew.
        progress: told how far the work is.
    """

    teacher: LanguageModel
    proxy: Callable[[], LanguageModel]
    clean_traces: Callable[[int], Examples]
    rng: np.random.Generator
    benign: Callable[[int], Traffic] = no_traffic
    red_team: Callable[[int], Traffic] = no_traffic
    items: Callable[[int], OwnItems] = no_items
    model: Callable[[str], LanguageModel] = no_model
    fit: ProxyFit = no_fit
    public: Callable[[int, int], Examples] = no_public
    progress: Progress = untold


class Answered(NamedTuple):
    """What a provider has kept of the answers that it gave.

    Args:
        prompts: texts that were asked.
        prompt: (R,) which of them each response answers.
        responses: R, as they left.
    """

    prompts: Sequence[str]
    prompt: NDArray[np.int64]
    responses: Responses


def no_answers() -> Answered:
    """For detections that have none."""
    raise ConfigError("detect", None, "needs the answers that were given, and there are none here")


class Deployed(NamedTuple):
    """A defense of the stack as it serves.

    Args:
        defense: its configuration.
        serving: what it serves with: its secret, its preparation, the models.
    """

    defense: Defense
    serving: Serving


def none_deployed(name: str) -> Deployed:
    """For detections that know of no other defense."""
    raise ConfigError("detect", name, "is no defense of this stack that looks into students", ())


@dataclass(frozen=True)
class Detection:
    """What a provider has at hand when it looks into a student that somebody may have distilled from it.

    Args:
        suspect: the student; its weights are open to the provider, or it is asked as an API would be.
        prompts: texts of the provider's own that the suspect is asked.
        serving: the provider's own teacher, models and preparation.
        format: how the teacher's responses are spelt.
        rng: explicit generator.
        answered: the provider's log of what it answered to the accounts that it looks into: those of the attacker.
        deployed: ``deployed(name)`` gives another defense of the stack that looks into students, by its name in the stack;
            `ConfigError` where there is none (say so beforehand with `Defense.beside`).
    """

    suspect: LanguageModel
    prompts: Sequence[str]
    serving: Serving
    format: ResponseFormat
    rng: np.random.Generator
    answered: Callable[[], Answered] = no_answers
    deployed: Callable[[str], Deployed] = none_deployed


class Evidence(NamedTuple):
    """What a provider can say of a student.

    Args:
        p: how probable at least as strong a finding is for a student that never learnt from the teacher, in [0, 1].
        statistic: what that is of; larger speaks for distillation.
        looked_at: how many independent things were looked at.
    """

    p: float
    statistic: float
    looked_at: int


class Defense(Part, Hooks):
    """Base of all defenses. Override the hooks that the method needs; the others do nothing.

    In the order in which they are called: `prepare` once; `admit`, `serve`, `seeds`, `decode` and `release` by the gateway
    (`teacher.api.hooks.Hooks`); `detect` when a student is found.

    Class attributes, besides those of `Hooks`:
        source: paper or practice the method is from.
        checked: what its numbers were checked against, in a line: a closed form, an independent implementation, a law.
        passes: forward passes of other models that `decode` takes for each token that is drawn.
        prepared_from: the fields that `prepare` depends on, where not all: defenses of the same family that agree on these
            share one preparation.
        prepared_as: the parent whose `prepare` this class inherits and shares the result of. Only a subclass that changes
            nothing which `prepare` calls may say so; otherwise each class prepares for itself.
        trains: whether `prepare` trains students (`Preparation.fit`): how the cell's student is trained is then in its key.
        strength: the field that says how strong the defense is, along which defenses are compared at matched utility, and
            the range in which `moatbench calibrate` searches it.

    A defense that answers every question with its first word, as an example:

    >>> from dataclasses import dataclass
    >>> from typing import ClassVar
    >>> @dataclass(frozen=True)
    ... class FirstWord(Defense):
    ...     name: ClassVar[str] = "first_word"
    ...     version: ClassVar[int] = 1
    ...     source: ClassVar[str] = "an example"
    ...     checked: ClassVar[str] = "the first word, by eye"
    ...
    ...     def release(self, responses, context):
    ...         return responses.keep_tokens(responses.tokens.position == 0)
    >>> hooks_of(FirstWord())
    ('release',)
    >>> from lm.ragged import Ragged
    >>> from teacher.api.schema import Responses
    >>> yes = np.ones(2, np.bool_)
    >>> answers = Responses(np.arange(2), Ragged.of([[5, 6, 7], [8]]), np.full(4, 4, np.uint8), yes, ~yes, np.array([3, 1]))
    >>> released = FirstWord().release(answers, context=None)
    >>> [row.tolist() for row in released.tokens], released.cut.tolist()
    ([[5], [8]], [True, False])
    """

    kind: ClassVar[str] = "defense"
    source: ClassVar[str]
    checked: ClassVar[str]
    passes: ClassVar[float] = 0
    prepared_from: ClassVar[tuple[str, ...] | None] = None
    prepared_as: ClassVar[type[Defense] | None] = None
    trains: ClassVar[bool] = False
    strength: ClassVar[Strength | None] = None

    def acts(self, hook: str) -> bool:
        """See `Hooks.acts`."""
        return getattr(type(self), hook) is not getattr(Defense, hook)

    def prepares_as(self) -> Defense:
        """The defense whose preparation this one needs: itself, unless it does what another defense does."""
        return self

    def beside(self) -> tuple[str, ...]:
        """Names of other defenses of the stack that `detect` asks for (`Detection.deployed`): without them it is refused."""
        return ()

    def prepare(self, context: Preparation) -> Prepared:
        """Fit once, before serving, whatever the defense needs: a gradient, a head, a threshold. Stored as a stage."""
        return {}

    def detect(self, context: Detection) -> Evidence | None:
        """Evidence that a student learned from this teacher; None where there is nothing to be said."""
        return None


HOOKS = ("prepare", *hooks.HOOKS, "detect")


def hooks_of(defense: Defense) -> tuple[str, ...]:
    """The hooks at which this defense acts."""
    return tuple(hook for hook in HOOKS if defense.acts(hook))


def preparation_of(defense: Defense) -> dict[str, Any]:
    """JSON-able identity of what `prepare` computes: the class that prepares, its version, and the fields it depends on.

    What a parent says of its own preparation (``prepared_as``, ``prepared_from``) is not taken over: a subclass may read
    other fields, or override what its parent's `prepare` calls.
    """
    defense = defense.prepares_as()
    kind = type(defense)
    owner = vars(kind).get("prepared_as") or kind
    assert issubclass(kind, owner), f"{kind.__name__} is no {owner.__name__}, whose preparation it says it shares"
    assert kind.prepare is owner.prepare, f"{kind.__name__} prepares itself, and shares nothing of {owner.__name__}"
    whole: dict[str, Any] = identity(defense)
    names = vars(owner).get("prepared_from")
    fields = whole["fields"] if names is None else {name: whole["fields"][name] for name in names}
    return {**named(owner), "content": defense.content(), "fields": fields}
