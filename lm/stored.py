"""Responses that somebody else's model gave, behind the interface of a language model: prompts are looked up, nothing is
generated. Knows neither files nor tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from configs.errors import ConfigError, require
from lm.language_model import LanguageModel
from lm.ragged import Ragged
from lm.types import Generations, Processor, Sampling, Scores, ToolRunner

NO_WEIGHTS: Any = None
"""In the place of a model."""


@dataclass(frozen=True)
class StoredLanguageModel(LanguageModel):
    """R stored responses in some tokenizer's tokens. What would need the model itself is refused.

    Args:
        responses: R of them.
        rows: by the tokens of a prompt (`key_of`), the rows of its responses, in their order.
    """

    responses: Generations = field(kw_only=True)
    rows: dict[bytes, NDArray[np.int64]] = field(kw_only=True)

    @property
    def device(self) -> torch.device:
        """There are no weights; the CPU."""
        return torch.device("cpu")

    @property
    def vocabulary(self) -> int:
        """Number of the tokenizer's tokens."""
        return len(self.tokenizer)

    def generate(
        self,
        prompts: Ragged,
        sampling: Sampling,
        seeds: NDArray[np.int64],
        processors: Sequence[Processor] = (),
        tools: ToolRunner | None = None,
        prefill: Ragged | None = None,
        forced: Ragged | None = None,
    ) -> Generations:
        """The stored response to each prompt, cut off after ``max_tokens``. Where one prompt stands in several rows, those
        of one seed get one response, and those of other seeds others, in the order in which they are stored. The temperature
        is whatever they were drawn at.

        Raises:
            ConfigError: more is asked for than is stored, or something that would change what is drawn.
        """
        most = 0 if self.responses.top_ids is None else self.responses.top_ids.shape[1]
        asked = {
            "a decoding defense": bool(processors),
            "a prefill": prefill is not None and bool(prefill.lengths.any()),
            "scores of a completion": forced is not None,
            "a logit bias": any(
                [sampling.logit_bias] if isinstance(sampling.logit_bias, dict) else sampling.logit_bias
            ),
            f"{sampling.top_logprobs} logprobs a token, where {most} are stored,": sampling.top_logprobs > most,
        }
        for what, wanted in asked.items():
            require(not wanted, "teacher", "stored transcripts", f"{what} takes a model that can be asked anew")
        rows = self._chosen(prompts, seeds)
        limit = np.broadcast_to(np.asarray(sampling.max_tokens), (len(rows),))
        stored, lengths = self.responses, self.responses.tokens.lengths[rows]
        at = stored.tokens.value_index(rows)
        kept = np.minimum(lengths, limit)
        position = np.arange(len(at)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        at = at[position < np.repeat(limit, lengths)]
        k = sampling.top_logprobs
        return Generations(
            tokens=Ragged.with_lengths(stored.tokens.values[at], kept),
            channel=stored.channel[at],
            logprob=stored.logprob[at],
            finished=stored.finished[rows] & (kept == lengths),
            top_ids=stored.top_ids[at, :k] if k and stored.top_ids is not None else None,
            top_logprobs=stored.top_logprobs[at, :k] if k and stored.top_logprobs is not None else None,
        )

    def score(self, prompts: Ragged, completions: Ragged, top_k: int = 0) -> Scores:
        """Raises `ConfigError`: nobody can be asked."""
        raise ConfigError("teacher", "stored transcripts", "to score texts takes a model that can be asked anew")

    def _chosen(self, prompts: Ragged, seeds: NDArray[np.int64]) -> NDArray[np.int64]:
        """(B,) row of the response to each prompt."""
        chosen = np.empty(len(prompts), np.int64)
        drawn: dict[bytes, dict[int, int]] = {}
        for at, (prompt, seed) in enumerate(zip(prompts, seeds.tolist(), strict=True)):
            stored = self.rows.get(key_of(prompt))
            if stored is None:
                text = self.decode(Ragged.of([prompt]))[0]
                raise ConfigError("teacher", "stored transcripts", f"hold no response to {text[-80:]!r}")
            known = drawn.setdefault(key_of(prompt), {})
            number = known.setdefault(seed, len(known))
            if number >= len(stored):
                text = self.decode(Ragged.of([prompt]))[0]
                reason = f"hold {len(stored)} response(s) to {text[-80:]!r}, and one more is asked for"
                raise ConfigError("teacher", "stored transcripts", reason)
            chosen[at] = stored[number]
        return chosen


def key_of(prompt: NDArray[np.integer]) -> bytes:
    """Of a prompt's tokens."""
    return prompt.astype(np.int32).tobytes()
