"""What the whole project says about language models: channels of a response, sampling settings, generations, scores,
and how its responses are spelled (`ResponseFormat`). No model is built here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from lm.ragged import Ragged

if TYPE_CHECKING:
    import torch


class Channel(IntEnum):
    """What a token of a response is for. A defense may hide or change some channels and not others."""

    TRACE = 1  # working: shown, hidden, cut or summarised
    CALL = 2  # a tool call, always visible to the caller who runs the tool
    TOOL = 3  # a tool's result, supplied by the caller: never sampled, never trained on
    ANSWER = 4  # the answer with its marker and the end of sequence


class ResponseFormat(ABC):
    """How the tokens of one tokenizer spell working, calls and answers."""

    @abstractmethod
    def channels(self, tokens: Ragged) -> NDArray[np.uint8]:
        """(N,) `Channel` of each token of each response."""

    def channels_after(self, prefill: Ragged, tokens: Ragged) -> NDArray[np.uint8]:
        """(N,) `Channel` of each token of each response, where the row of ``prefill`` stood before it."""
        whole = Ragged.of([np.concatenate(pair) for pair in zip(prefill, tokens, strict=True)])
        return self.channels(whole)[whole.position >= prefill.lengths[whole.row_of_value]]

    @abstractmethod
    def summary(self, tokens: Ragged, channel: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(N,) True for the trace tokens that a summary keeps: sub-results without their derivation."""

    def derivation(self, tokens: Ragged, channel: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """(N,) True for the trace tokens that say how sub-results are come by: all that are no sub-result, unless a format
        knows words that only announce or confirm one."""
        derives: NDArray[np.bool_] = (channel == Channel.TRACE) & ~self.summary(tokens, channel)
        return derives

    @property
    def synonyms(self) -> Sequence[NDArray[np.int64]]:
        """Groups of tokens that say the same in a trace, each token in at most one; () where the format knows none."""
        return ()

    @abstractmethod
    def corrupted(self, token: int, rng: np.random.Generator) -> int:
        """Another token of the same kind, which makes a step or an answer wrong; ``token`` itself where it has no kind
        (punctuation, separators)."""


class ToolRunner(Protocol):
    """The caller's side of tool use, batched over rows that have just finished a call."""

    def __call__(self, rows: NDArray[np.int64], generated: Sequence[NDArray[np.int32]]) -> list[list[int]]:
        """Result tokens to append after each row's call; [] where nothing was called (the row then goes on)."""
        ...


@dataclass(frozen=True)
class Sampling:
    """How text is drawn, the same for all rows or with a value a row. All fields are part of every stored key.

    Args:
        temperature: divides the logits; 0 is greedy. A number, or (R,).
        max_tokens: most tokens generated per response, tool results not counted. A number, or (R,).
        top_logprobs: how many of the largest logprobs to return per token (0: none).
        logit_bias: added to the logits, by token id; or R of these.
    """

    temperature: float | NDArray[np.float64] = 1.0
    max_tokens: int | NDArray[np.int64] = 64
    top_logprobs: int = 0
    logit_bias: Mapping[int, float] | Sequence[Mapping[int, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(bool(np.all(np.asarray(self.temperature) >= 0)), "temperature", self.temperature, "must be at least 0")
        require(bool(np.all(np.asarray(self.max_tokens) >= 1)), "max_tokens", self.max_tokens, "must be at least 1")
        require(self.top_logprobs >= 0, "top_logprobs", self.top_logprobs, "must be at least 0")

    def of(self, rows: NDArray[np.integer]) -> Sampling:
        """That of the given rows."""
        bias = self.logit_bias
        return replace(
            self,
            temperature=self.temperature if np.ndim(self.temperature) == 0 else np.asarray(self.temperature)[rows],
            max_tokens=self.max_tokens if np.ndim(self.max_tokens) == 0 else np.asarray(self.max_tokens)[rows],
            logit_bias=bias if isinstance(bias, Mapping) else [bias[int(r)] for r in rows],
        )


@dataclass(frozen=True)
class Generations:
    """R responses of one model.

    Args:
        tokens: R rows of token ids, the end-of-sequence token included where it was reached; tool results included.
        channel: (N,) `Channel` of each token.
        logprob: (N,) log-probability of each token under the distribution it was drawn from (after processors, bias and
            temperature); 0 for tool results.
        top_ids: (N, k) int32 ids of the k most probable tokens, or None when none were asked for; -1 on tool results.
        top_logprobs: (N, k) float32, or None; -inf on tool results.
        finished: (R,) whether the end of sequence was reached.
    """

    tokens: Ragged
    channel: NDArray[np.uint8]
    logprob: NDArray[np.float32]
    finished: NDArray[np.bool_]
    top_ids: NDArray[np.int32] | None = None
    top_logprobs: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Scores:
    """Teacher-forced scores of given completions, aligned with the completions' flat values.

    Args:
        logprob: (N,) log-probability of each token at temperature 1.
        greedy: (N,) whether the token is the model's argmax.
        entropy: (N,) entropy of the distribution at each token, nats.
        top_ids: (N, k) or None.
        top_logprobs: (N, k) or None.
    """

    logprob: NDArray[np.float32]
    greedy: NDArray[np.bool_]
    entropy: NDArray[np.float32]
    top_ids: NDArray[np.int32] | None = None
    top_logprobs: NDArray[np.float32] | None = None


class Progress(Protocol):
    """How long work tells where it is: called with steps done, steps in all and a short word."""

    def __call__(self, done: int, total: int, note: str = "") -> None: ...  # noqa: D102


class Processor(Protocol):
    """Changes the scores of the next token; called as a ``transformers.LogitsProcessor`` is, which is one.

    One that treats rows differently also has a method ``begin(rows)``, which `lm.generate` calls before the first step of a
    batch with the numbers (B,) of its rows; -1 stands for rows that nobody wants. One that need not look at texts which have
    ended has a method ``step(lines)``, called before each step with the places (b,) in the batch of those that still grow:
    what it returns for the others is not looked at, and none of them grows again.

    One that chooses the token itself, instead of changing what it is drawn from, also has a method ``draw(input_ids,
    scores, drawn)``. It is given the final log-probabilities (B, V) and the tokens (B,) drawn from them, and returns the
    tokens (B,) that are said, ``drawn`` where it does not choose. At most one processor may; greedy rows are not asked for.
    """

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(B, V) scores from the (B, T) tokens so far and their (B, V) scores."""
        ...
