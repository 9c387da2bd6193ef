"""The contract of a defense: at most four hooks, at the points where a provider can act. Knows nothing of attacks.

A defense is one frozen dataclass in one file, whose fields are its configuration, and one YAML that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from configs.identity import Part, identity, named
from defenses.strength import Strength
from lm.examples import Examples
from lm.ragged import Ragged
from lm.types import ResponseFormat
from teacher.api.interface import Interface
from teacher.api.schema import Prompts, Requests, Responses, Verdicts

if TYPE_CHECKING:
    from torch import Tensor

    from lm.language_model import LanguageModel
    from lm.types import Processor
    from teacher.api.accounts import Accounts
    from teacher.api.ledger import Ledger
    from teacher.api.prices import Prices

Prepared: TypeAlias = "dict[str, Tensor]"
"""What `Defense.prepare` found once, as tensors, stored as safetensors."""


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


@dataclass(frozen=True)
class Preparation:
    """What a provider has at hand before it opens the API.

    Args:
        teacher: the model to be defended.
        proxy: builds the student-sized model the provider owns (public base weights); called only when needed.
        clean_traces: ``clean_traces(n)`` gives n undefended, correct teacher responses on prompts of the provider's own
            (train split, disjoint from the attacker's pool), as training rows in the teacher's tokens.
        rng: explicit generator of this stage.
        benign: ``benign(n)`` gives n requests of honest accounts, as the provider has seen them before.
        red_team: ``red_team(n)`` gives n requests of the provider's own red team, which harvests as it expects others to.
    """

    teacher: LanguageModel
    proxy: Callable[[], LanguageModel]
    clean_traces: Callable[[int], Examples]
    rng: np.random.Generator
    benign: Callable[[int], Traffic] = no_traffic
    red_team: Callable[[int], Traffic] = no_traffic


@dataclass(frozen=True)
class Serving:
    """What a defense can use while it serves.

    Args:
        teacher: the model being sampled.
        proxy: builds the provider's proxy student; called only when needed.
        prepared: what `prepare` returned, {} where it has none.
    """

    teacher: LanguageModel
    proxy: Callable[[], LanguageModel]
    prepared: Prepared = field(default_factory=dict)


@dataclass
class AdmissionState:
    """What a provider can observe when a batch arrives, and the defense's own memory between batches.

    Args:
        ledger: every request so far with its verdict.
        memory: this defense's own; empty at first, kept by the gateway.
        accounts: who calls: organisation, age, spend, tier.
        prices: what tokens cost.
        max_tokens: output tokens reserved for each request of the batch, all its n responses together (they are reserved
            before they are known, as providers do): one number, or (B,).
        prompts: what `Requests.prompt` indexes; the same object from batch to batch.
        prepared: what `prepare` returned, {} where it has none.
        seed: of the defense's own draws.
    """

    ledger: Ledger
    memory: dict[str, Any]
    accounts: Accounts
    prices: Prices
    max_tokens: int | NDArray[np.int32] = 64
    prompts: Prompts = field(default_factory=lambda: Prompts((), Ragged.of([])))
    prepared: Prepared = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class Release:
    """What a release defense can see besides the responses.

    Args:
        format: kinds of tokens, sub-results, plausible wrong tokens.
        interface: what is sold.
        prompts: the prompts of the batch.
        requests: the requests that were answered (`Responses.request` indexes them).
        rng: explicit generator; the same requests give the same draws.
    """

    format: ResponseFormat
    interface: Interface
    prompts: Prompts
    requests: Requests
    rng: np.random.Generator


class Defense(Part):
    """Base of all defenses. Override the hooks that the method needs; the others do nothing.

    Class attributes:
        source: paper or practice the method is from.
        needs: features of `Interface` that must be sold for the defense to act at all ("top_logprobs", "trace").
        prepared_from: the fields that `prepare` depends on, where not all: defenses of the same family that agree on these
            share one preparation.
        prepared_as: the parent whose `prepare` this class inherits and shares the result of. Only a subclass that changes
            nothing which `prepare` calls may say so; otherwise each class prepares for itself.
        uses: models besides the teacher that `decode` may run: ``proxy`` (`Serving.proxy`), or nothing. They are part of the
            key of what was sampled.
        strength: the field that says how strong the defense is, along which defenses are compared at matched utility, and
            the range in which `moatbench calibrate` searches it.
        across_accounts: whether `admit` judges a request by what other organisations' accounts did. If so attackers and
            honest users have to meet in one gateway; if not, each side gets the same verdicts without the other.
    """

    kind: ClassVar[str] = "defense"
    source: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    prepared_from: ClassVar[tuple[str, ...] | None] = None
    prepared_as: ClassVar[type[Defense] | None] = None
    uses: ClassVar[tuple[str, ...]] = ("proxy",)
    strength: ClassVar[Strength | None] = None
    across_accounts: ClassVar[bool] = False

    def prepare(self, context: Preparation) -> Prepared:
        """Fit once, before serving, whatever the defense needs: a gradient, a head, a threshold. Stored as a stage."""
        return {}

    def admit(self, requests: Requests, state: AdmissionState) -> Verdicts | None:
        """Judge requests before the teacher answers; None admits all. Requests come in order of time."""
        return None

    def shut_out(self, memory: Mapping[str, Any]) -> NDArray[np.integer]:
        """Ids of the accounts of which `admit` lets nothing through any more, now or after a delay, whatever they send:
        suspects, and those that failed a check. Not those that only have to wait."""
        return np.zeros(0, np.int64)

    def decode(self, serving: Serving) -> Processor | None:
        """A logits processor that acts while the teacher samples. It is called with left-padded ``input_ids`` (B, T) that
        grow by one column a step, and with ``scores`` (B, V) = log-probabilities log p_T/τ after bias and temperature;
        whatever it returns is renormalised and sampled from."""
        return None

    def release(self, responses: Responses, context: Release) -> Responses:
        """Change answers before they leave."""
        return responses


HOOKS = ("prepare", "admit", "decode", "release")


def hooks_of(defense: Defense) -> tuple[str, ...]:
    """The hooks that this defense overrides."""
    return tuple(h for h in HOOKS if getattr(type(defense), h) is not getattr(Defense, h))


def preparation_of(defense: Defense) -> dict[str, Any]:
    """JSON-able identity of what `prepare` computes: the class that prepares, its version, and the fields it depends on.

    What a parent says of its own preparation (``prepared_as``, ``prepared_from``) is not taken over: a subclass may read
    other fields, or override what its parent's `prepare` calls.
    """
    kind = type(defense)
    owner = vars(kind).get("prepared_as") or kind
    assert issubclass(kind, owner), f"{kind.__name__} is no {owner.__name__}, whose preparation it says it shares"
    assert kind.prepare is owner.prepare, f"{kind.__name__} prepares itself, and shares nothing of {owner.__name__}"
    whole: dict[str, Any] = identity(defense)
    names = vars(owner).get("prepared_from")
    fields = whole["fields"] if names is None else {name: whole["fields"][name] for name in names}
    return {**named(owner), "content": defense.content(), "fields": fields}


Stack = Sequence[Defense]
"""Defenses applied in order; the empty stack is no defense."""
