"""The model behind the gateway: samples for admitted requests, and keeps raw generations in the store so that cells which
differ only after decoding share them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from configs.identity import identity
from experiments.store.artifact import Artifact
from experiments.store.stage import Memos
from lm.examples import from_arrays, to_arrays
from lm.randomness import seeds_of_each
from lm.types import Generations, Processor, Sampling
from teacher.api.schema import Params, Prompts, Requests

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

VERSION = 1
"""Raised when sampling changes what it draws."""


@dataclass(frozen=True)
class ModelBackend:
    """Implements `teacher.api.gateway.Backend` around one language model.

    Args:
        lm: the model.
        processors: builds fresh logits processors for one batch, in order; called only when something is sampled.
        store: where raw generations are kept.
        identity: JSON-able; everything that determines the model and its processors.
    """

    lm: LanguageModel
    processors: Callable[[], Sequence[Processor]]
    store: Memos
    identity: Any

    @property
    def vocabulary(self) -> int:
        """See `teacher.api.gateway.Backend`."""
        return self.lm.vocabulary

    def count(self, text: str) -> int:
        """See `teacher.api.gateway.Backend`."""
        return len(self.lm.encode([text]).values)

    def complete(self, prompts: Prompts, requests: Requests, params: Params) -> Generations:
        """``n`` responses for each request, request-major; drawn, or read where the same was drawn before."""
        texts = hashlib.sha256("\0".join(prompts.texts[int(p)] for p in requests.prompt).encode())
        seeds = hashlib.sha256(seeds_of_each(requests.seed, params.n).tobytes())
        content = {
            "version": VERSION,
            "model": self.identity,
            "prompts": texts.hexdigest(),
            "seeds": seeds.hexdigest(),
            "params": identity(params),
            "batch_tokens": self.lm.batch_tokens,
        }
        entry = self.store.memo("generations", content, lambda: self._sampled(prompts, requests, params))
        return from_arrays(Generations, entry.arrays("generations"))

    def _sampled(self, prompts: Prompts, requests: Requests, params: Params) -> Artifact:
        rows = np.repeat(requests.prompt, params.n)
        seeds = seeds_of_each(requests.seed, params.n)
        sampling = Sampling(params.temperature, params.max_tokens, params.top_logprobs, params.logit_bias)
        tools = prompts.tools
        drawn = self.lm.generate(
            prompts.tokens.take(rows),
            sampling,
            seeds,
            self.processors(),
            None if tools is None else lambda at, generated: tools(rows[at], generated),
            self._prefill(params, len(rows)),
        )
        return Artifact(tensors={"generations": to_arrays(drawn)})

    def _prefill(self, params: Params, n: int) -> Any:
        if not params.prefill:
            return None
        return self.lm.encode([params.prefill] * n)
