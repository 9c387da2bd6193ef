"""The model behind the gateway: samples for admitted requests, and keeps raw generations in the store so that cells which
differ only after decoding share them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from configs.identity import identity
from experiments.store.artifact import Artifact
from experiments.store.stage import Memos
from lm.examples import from_arrays, to_arrays
from lm.ragged import Ragged
from lm.randomness import seeds_of_each
from lm.types import Generations, Processor, Sampling
from lm.underway import saving_as
from teacher.api.hooks import RequestFacts, Serving
from teacher.api.rewriting import Codec
from teacher.api.schema import Params, Prompts, Requests

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

VERSION = 1
"""Raised when sampling changes what it draws."""

GENERATIONS = "generations"
"""Kind of entries that hold raw generations, and name of their tensors."""


@dataclass(frozen=True)
class ModelBackend:
    """Implements `teacher.api.gateway.Backend` around one language model.

    Args:
        lm: the model.
        processors: builds fresh logits processors for one batch of responses, in order; called only when something is
            sampled.
        store: where raw generations are kept; None to draw them anew each time.
        identity: JSON-able; everything that determines the model and its processors.
        sees: columns of `RequestFacts` that the processors read.
        defense: what the named defense can use.
        seeds: of the responses, in the place of the requests' own; None leaves those.
    """

    lm: LanguageModel
    processors: Callable[[RequestFacts], Sequence[Processor]]
    store: Memos | None
    identity: Any
    sees: tuple[str, ...] = ()
    defense: Callable[[str], Serving] | None = None
    seeds: Callable[[RequestFacts], NDArray[np.int64] | None] = lambda asked: None

    @property
    def vocabulary(self) -> int:
        """See `teacher.api.gateway.Backend`."""
        return self.lm.vocabulary

    @property
    def codec(self) -> Codec:
        """See `teacher.api.gateway.Backend`."""
        return self.lm

    def serving(self, name: str) -> Serving:
        """See `teacher.api.gateway.Backend`."""
        return Serving(self.lm) if self.defense is None else self.defense(name)

    def complete(
        self,
        prompts: Prompts,
        requests: Requests,
        params: Params,
        asked: RequestFacts,
        completions: Ragged | None = None,
    ) -> Generations:
        """``n`` responses for each request, request-major; drawn, or read where the same was drawn before."""
        if self.store is None:
            return self._sampled(prompts, requests, params, asked, completions)
        texts = hashlib.sha256("\0".join(prompts.texts[int(p)] for p in requests.prompt).encode())
        each = params.each("n", len(requests))
        content = {
            "version": VERSION,
            "model": self.identity,
            "prompts": texts.hexdigest(),
            "seeds": _hash(seeds_of_each(requests.seed, each)),
            "params": _identity(params),
            "batch_tokens": self.lm.batch_tokens,
        }
        if self.sees:
            content["seen"] = {name: _hash(getattr(asked, name)) for name in self.sees}
        if completions is not None:
            content["scored"] = [_hash(completions.values), _hash(completions.offsets)]

        def made() -> Artifact:
            with saving_as(json.dumps(content, sort_keys=True)):
                drawn = self._sampled(prompts, requests, params, asked, completions)
            return Artifact(tensors={GENERATIONS: to_arrays(drawn)})

        return from_arrays(Generations, self.store.memo(GENERATIONS, content, made).arrays(GENERATIONS))

    def _sampled(
        self, prompts: Prompts, requests: Requests, params: Params, asked: RequestFacts, completions: Ragged | None
    ) -> Generations:
        each = params.each("n", len(requests))
        of_request = np.repeat(np.arange(len(requests)), each)
        rows, own = requests.prompt[of_request], params.take(of_request)
        tools, known = prompts.tools, asked.take(of_request)
        seeds, begun = self.seeds(known), self._prefill(own, len(rows))
        return self.lm.generate(
            prompts.tokens.take(rows),
            Sampling(own.temperature, own.max_tokens, own.top_logprobs, own.logit_bias),
            seeds_of_each(requests.seed, each) if seeds is None else seeds,
            self.processors(known),
            None if tools is None else lambda at, generated: tools(rows[at], _whole(begun, at, generated)),
            begun,
            None if completions is None else completions.take(of_request),
        )

    def _prefill(self, params: Params, n: int) -> Ragged | None:
        texts = params.prefills
        return self.lm.encode(texts if len(texts) == n else list(texts) * n) if any(texts) else None


def _whole(
    prefill: Ragged | None, rows: NDArray[np.int64], generated: Sequence[NDArray[np.int32]]
) -> Sequence[NDArray[np.int32]]:
    """The assistant's turn so far, as the client who runs its tools sees it: with what he put at the start."""
    if prefill is None:
        return generated
    return [np.concatenate([prefill[int(row)], said]) for row, said in zip(rows, generated, strict=True)]


def _hash(values: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _identity(params: Params) -> dict[str, Any]:
    """JSON-able; what each request has its own of as one hash. What is new since the first version is left out at its
    default, so that what was sampled before is found again. Whether the steps are asked for decides what is shown, not
    what is sampled."""
    plain: dict[str, Any] = {}
    for name, value in ((f.name, getattr(params, f.name)) for f in fields(params) if f.name != "elicits"):
        if isinstance(value, np.ndarray):
            plain[name] = _hash(value)
        elif name in params.varied:
            plain[name] = hashlib.sha256(json.dumps(identity(value)).encode()).hexdigest()
        else:
            plain[name] = identity(value)
    if not params.scored:
        del plain["scored"]
    return plain
