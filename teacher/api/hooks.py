"""The points at which a gateway lets a provider act, and what the provider can see there. Knows no single defense.

`Hooks` is the gateway's side of the contract of a defense; what happens before the API opens and after a student is found is
`defenses.base`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from lm.columnar import Columnar, per_row
from lm.ragged import Ragged
from lm.types import ResponseFormat
from teacher.api.interface import Interface
from teacher.api.rewriting import Codec
from teacher.api.schema import Params, Prompts, Requests, Responses, Verdicts

if TYPE_CHECKING:
    from torch import Tensor

    from lm.language_model import LanguageModel
    from lm.types import Processor
    from teacher.api.accounts import Accounts
    from teacher.api.ledger import Ledger
    from teacher.api.prices import Prices

Prepared: TypeAlias = "dict[str, Tensor]"
"""What a defense's `prepare` found once, as tensors, stored as safetensors."""

SEEN = ("account", "marked", "bucket", "visit", "length")
"""Columnar of `RequestFacts` that a defense may say it samples by."""

MODELS = ("proxy", "student")
"""Models besides the teacher that a provider has, and a defense may say it uses."""


@dataclass(frozen=True)
class RequestFacts(Columnar):
    """What a provider knows of R responses that it is about to sample, a row each (a request's n responses are neighbours).

    Args:
        account: (R,) int32 who asks.
        marked: (R,) bool whether a defense suspects him (`Verdicts.marked`).
        bucket: (R,) int64 equal for prompts that say about the same (`Prompts.sketch`, or else the same words).
        visit: (R,) int64 how many answered requests of this account lie in the same bucket before this one.
        length: (R,) int64 tokens of the prompt.
        temperature: (R,) float64 that the client asks for, 0 for greedy; None where nobody asks. Parameters are part of the
            key of what was sampled anyway, so `Hooks.sees` does not name them.
    """

    account: NDArray[np.int32] = per_row()
    marked: NDArray[np.bool_] = per_row()
    bucket: NDArray[np.int64] = per_row()
    visit: NDArray[np.int64] = per_row()
    length: NDArray[np.int64] = per_row()
    temperature: NDArray[np.float64] | None = per_row(1.0, default=None)


NOBODY = RequestFacts(
    np.zeros(0, np.int32), np.zeros(0, np.bool_), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)
)
"""No request at all: for what is decoded outside an API."""


@dataclass
class AdmissionState:
    """What a provider can observe when a batch arrives, and the defense's own memory between batches.

    Args:
        ledger: every request so far with its verdict.
        memory: this defense's own, which all its hooks share; empty at first, kept by the gateway.
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


def no_model(name: str) -> LanguageModel:
    """Where a defense has no models besides the teacher."""
    raise ConfigError("uses", name, "is not a model that is there")


@dataclass(frozen=True)
class Serving:
    """What a defense can use while it serves.

    Args:
        teacher: the model being sampled; in `serve` the one that it may replace.
        model: builds another model of the provider's by its name, one that the defense says it uses (`Hooks.uses`).
        prepared: what `prepare` returned, {} where it has none.
        seed: the provider's own secret, which nobody who asks knows.
        memory: the defense's own, as in `AdmissionState`.
    """

    teacher: LanguageModel
    model: Callable[[str], LanguageModel] = no_model
    prepared: Prepared = field(default_factory=dict)
    seed: int = 0
    memory: dict[str, Any] = field(default_factory=dict)

    def proxy(self) -> LanguageModel:
        """The student-sized model that everybody can have, and the provider too."""
        return self.model("proxy")


@dataclass(frozen=True)
class ReleaseContext:
    """What a defense can see of responses that are about to leave, besides themselves.

    Args:
        format: kinds of tokens, sub-results, plausible wrong tokens.
        interface: what is sold.
        prompts: the prompts of the batch.
        requests: the B requests that were answered (`Responses.request` indexes them).
        rng: explicit generator; the same requests give the same draws.
        asked: what is known of each request, a row each.
        serving: teacher, other models, what was prepared, memory.
        codec: from tokens to text and back.
        params: what the requests ask for, as `Requests` has them in rows.
    """

    format: ResponseFormat
    interface: Interface
    prompts: Prompts
    requests: Requests
    rng: np.random.Generator
    asked: RequestFacts
    serving: Serving
    codec: Codec
    params: Params = field(default_factory=Params)


class Hooks:
    """What a gateway asks of a defense. All of it does nothing unless it is overridden.

    Class attributes:
        needs: features of `Interface` that must be sold for the defense to act at all ("top_logprobs", "trace").
        uses: models besides the teacher that the hooks may run (`MODELS`): ``proxy``, the public base model of students;
            ``student``, that model distilled from the undefended teacher on the provider's own prompts. They are part of the
            key of what they influence. Any other model (a rewriter, a judge) is a field of the defense
            (`lm.huggingface.Pretrained`).
        sees: the columns of `RequestFacts` that `seeds` and `decode` read (`SEEN`); they become part of the key of what was
            sampled.
        across_accounts: whether a request is judged, or answered, by what other organisations' accounts did. If so attackers
            and honest users have to meet in one gateway; if not, each side gets the same without the other.
        rewords: whether `release` puts other tokens in the place of those that were sampled. Completions that a client sent
            to be scored are his own text and are not given to it.
        reads_logprobs: how many logprobs a token `release` reads, -1 for the whole vocabulary, where that is more than was
            asked for. What is over is cut off after the last defense.
        chooses_tokens: whether the processor of `decode` has a method ``draw``; only one defense of a stack may.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    uses: ClassVar[tuple[str, ...]] = ("proxy",)
    sees: ClassVar[tuple[str, ...]] = ()
    across_accounts: ClassVar[bool] = False
    rewords: ClassVar[bool] = False
    reads_logprobs: ClassVar[int] = 0
    chooses_tokens: ClassVar[bool] = False

    def acts(self, hook: str) -> bool:
        """Whether this defense does anything at a hook: whether it overrides it. One that does what another does says where
        that one acts."""
        return getattr(type(self), hook) is not getattr(Hooks, hook)

    @property
    def works_on_answers(self) -> bool:
        """Whether all that it does can be done where the teacher is run by an engine that gives answers alone, and would
        leave out the rest without a word. One that samples otherwise, serves other weights or reads whole distributions
        cannot; a defense for which this is wrong says so itself, as one does whose processor the engine can make
        (`lm.vllm_processors`)."""
        return self.reads_logprobs == 0 and not (self.acts("decode") or self.acts("serve"))

    def asks_teacher(self) -> bool:
        """Whether preparing, releasing or looking into students runs the teacher on anything but prompts that are asked
        once: such a defense has no use for stored answers."""
        return False

    def admit(self, requests: Requests, state: AdmissionState) -> Verdicts | None:
        """Judge requests before the teacher answers; None admits all. Requests come in order of time. One that is admitted
        can be marked, for other defenses to act on (`RequestFacts.marked`)."""
        return None

    def shut_out(self, memory: Mapping[str, Any]) -> NDArray[np.integer]:
        """Ids of the accounts of which `admit` lets nothing through any more, now or after a delay, whatever they send:
        suspects, and those that failed a check. Not those that only have to wait."""
        return np.zeros(0, np.int64)

    def serve(self, serving: Serving) -> LanguageModel:
        """The model that answers in the teacher's place, with the same tokenizer. The teacher itself is left as it is."""
        return serving.teacher

    def seeds(self, serving: Serving, asked: RequestFacts) -> NDArray[np.int64] | None:
        """(R,) seeds of the draws of ``asked`` in the place of the requests' own; None leaves those. Tokens are a function
        of the teacher's distribution and of their response's seed: equal seeds on one prompt are one draw. Not so tokens
        that a processor chooses itself (`decode`).
        """
        return None

    def decode(self, serving: Serving, asked: RequestFacts) -> Processor | None:
        """A logits processor that acts while the teacher samples ``asked``.

        It is called with left-padded ``input_ids`` (B, T) that grow by one column a step, and with ``scores`` (B, V) =
        log-probabilities log p_T/τ after bias and temperature; whatever it returns is renormalised and sampled from. One
        that has a method ``begin(rows)`` is told before each batch which rows of ``asked`` it holds, in order; one that has
        a method ``step(lines)`` is told before each call which lines of the batch still grow, and may leave out the others.
        One that runs a model of its own does so with `lm.alongside`.

        One that has a method ``draw(input_ids, scores, drawn)`` chooses the tokens (B,) that are said, from the final scores
        and in the place of those ``drawn`` from them; the defense says so (``chooses_tokens``). Sold logprobs stay those of
        the scores; greedy responses and completions that are scored stay as they are.
        """
        return None

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Change answers before they leave."""
        return responses


HOOKS = ("admit", "serve", "seeds", "decode", "release")


def hooks_of(defense: Hooks) -> tuple[str, ...]:
    """The hooks of a gateway at which this defense acts."""
    return tuple(hook for hook in HOOKS if defense.acts(hook))


def require_sold(defenses: Mapping[str, Hooks], interface: Interface) -> None:
    """Raise `ConfigError` where a defense acts on something that the interface does not sell."""
    for name, defense in defenses.items():
        for need in defense.needs:
            if getattr(interface, need) in (0, False, "none"):
                reason = f"acts on {need}, which the interface {interface.name!r} does not sell"
                raise ConfigError(f"defense.{name}", type(defense).__name__, reason)


def require_works_on_answers(defenses: Mapping[str, Hooks], engine: str) -> None:
    """Raise `ConfigError` where a defense needs more of the teacher than the answers that this engine gives."""
    for name, defense in defenses.items():
        if not defense.works_on_answers:
            reason = (
                f"works on logits or weights of the teacher, which {engine} does not give: teacher.engine=transformers"
            )
            raise ConfigError(f"defense.{name}", type(defense).__name__, reason)


def require_one_draw(defenses: Mapping[str, Hooks]) -> None:
    """Raise `ConfigError` where two defenses choose the tokens that are said: the first would do nothing."""
    choosing = [name for name, defense in defenses.items() if defense.chooses_tokens]
    if len(choosing) > 1:
        reason = f"chooses the tokens itself, as {choosing[0]} does: only one defense of a stack can"
        raise ConfigError(f"defense.{choosing[1]}", type(defenses[choosing[1]]).__name__, reason)


def require_models(defenses: Mapping[str, Hooks]) -> None:
    """Raise `ConfigError` where a defense uses a model that no provider has."""
    for name, defense in defenses.items():
        for used in defense.uses:
            if used not in MODELS:
                reason = f"is not a model that a provider has, but {type(defense).__name__} says that it uses it"
                raise ConfigError(f"defense.{name}.uses", used, reason, MODELS)
