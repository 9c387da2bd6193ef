"""How the mini world spells working, calls and answers, as masks over token ids."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from lm.ragged import Ragged
from lm.types import Channel, ResponseFormat


class MiniFormat(ResponseFormat):
    """Working and calls, then ``# answer``.

    Args:
        tokenizer: maps words to ids.
        kinds: groups of words of one kind (digits, functions, ...), each word in at most one group.
        states: words that can be a sub-result.
        separators: words between a derivation and its sub-result.
        call: first word, last word of a call.
        mark: the word before the answer.
        join: the word between two states that are one sub-result together.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        kinds: Sequence[Sequence[str]],
        states: Sequence[str],
        separators: Sequence[str],
        call: tuple[str, str],
        mark: str,
        join: str,
    ) -> None:
        self.tokenizer, self.kinds, self.states, self.separators = tokenizer, kinds, states, separators
        self.call, self.mark, self.join = call, mark, join

    @cached_property
    def _ids(self) -> dict[str, int]:
        table: dict[str, int] = self.tokenizer.get_vocab()
        return table

    def _among(self, values: NDArray[np.int32], words: Sequence[str]) -> NDArray[np.bool_]:
        """(N,) whether each token is one of ``words``; ids that no word has are none."""
        return np.isin(values, [self._ids[word] for word in words])

    @property
    def call_end_ids(self) -> tuple[int, ...]:
        """Tokens at which a call may be complete."""
        return (self._ids[self.call[1]],)

    def channels(self, tokens: Ragged) -> NDArray[np.uint8]:
        """See `ResponseFormat.channels`: from the first mark on it is the answer; before it calls, and the one token after a
        call (its result), stand apart; the end of sequence always belongs to the answer."""
        values, position = tokens.values, np.arange(len(tokens.values))
        start = tokens.offsets[:-1][tokens.row_of_value]
        opened, closed = (values == self._ids[word] for word in self.call)
        last_open, last_mark = _last(opened), _last(values == self._ids[self.mark])
        in_call = (last_open >= start) & (last_open > _shifted(_last(closed), -1))
        result = _shifted(closed & in_call, False) & (position > start)
        channel = np.full(len(values), Channel.TRACE, np.uint8)
        channel[in_call] = Channel.CALL
        channel[result] = Channel.TOOL
        channel[(last_mark >= start) | (values == self.tokenizer.eos_token_id)] = Channel.ANSWER
        return channel

    def summary(self, tokens: Ragged, channel: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """See `ResponseFormat.summary`: the states that follow a separator, one or two that are joined."""
        follows = self._among(_shifted(tokens.values, 0), self.separators) & (tokens.position > 0)
        state, trace = self._among(tokens.values, self.states), channel == Channel.TRACE
        first: NDArray[np.bool_] = trace & state & follows
        joined = trace & (tokens.values == self._ids[self.join]) & _shifted(first, False) & (tokens.position > 0)
        kept: NDArray[np.bool_] = first | joined | (trace & state & _shifted(joined, False) & (tokens.position > 0))
        return kept

    def derivation(self, tokens: Ragged, channel: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """See `ResponseFormat.derivation`: words of a kind that are no states."""
        words = [word for kind in self.kinds for word in kind if word not in self.states]
        kept: NDArray[np.bool_] = (channel == Channel.TRACE) & self._among(tokens.values, words)
        return kept

    @cached_property
    def synonyms(self) -> Sequence[NDArray[np.int64]]:
        """See `ResponseFormat.synonyms`: the separators."""
        return (np.array([self._ids[word] for word in self.separators], np.int64),)

    def corrupted(self, token: int, rng: np.random.Generator) -> int:
        """See `ResponseFormat.corrupted`."""
        for kind in self.kinds:
            ids = [self._ids[word] for word in kind]
            if token in ids:
                others = [i for i in ids if i != token]
                return others[int(rng.integers(len(others)))]
        return token


def _last(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(N,) the last position up to and including each one where ``mask`` holds; -1 where there is none."""
    return np.maximum.accumulate(np.where(mask, np.arange(len(mask)), -1), dtype=np.int64)


def _shifted(array: NDArray[np.generic], first: int) -> NDArray[Any]:
    """(N,) each place holds its predecessor's value, the first one ``first``."""
    return np.concatenate([np.array([first], array.dtype), array])[: len(array)]
