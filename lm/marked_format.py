"""The response format of text models: working inside tags such as ``<think>…</think>``, or before a marker such as
``Answer:``. Knows nothing of tasks; there are no tool calls in this format."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from lm.ragged import Ragged
from lm.spans import spans_of
from lm.types import Channel, ResponseFormat

if TYPE_CHECKING:
    from lm.spans import Spans

_SENTENCE = re.compile(r"\S.*?(?:[.!?](?=\s)|\n|\Z)", re.DOTALL)
_CONCLUSION = re.compile(r"\b(?:so|thus|hence|therefore|total|result|equals?|gives|gets?)\b", re.IGNORECASE)
_NUMBER = re.compile(r"(\D*)(\d+)(\D*)")


@dataclass(frozen=True, eq=False)
class MarkedFormat(ResponseFormat):
    """Channels by text, carried over to tokens.

    A response is working up to a boundary and answer from there on. The boundary is, in this order:

    1. after ``close`` and the white space that follows it, where ``close`` occurs;
    2. the end, where the working was opened and never closed: it was cut off. ``opening`` may have opened it. A response
       that ended all the same and has a marker goes by the marker;
    3. before the last of the ``answers`` markers (any case, with the Markdown emphasis and the white space before it), where
       one occurs: the line that it begins stays a line whatever becomes of the working;
    4. the beginning: a response without any mark is all answer.

    A token belongs to the side of its last character. What ends a response is always answer.

    Args:
        tokenizer: a fast tokenizer.
        open: tag that begins the working, "" for none.
        close: tag that ends it, "" for none.
        answers: markers any of which begins the answer; () for none.
        opening: what the chat template has written before the response, up to where the assistant speaks.
        ends: ids at which a response ends; () for the tokenizer's end of sequence.
    """

    tokenizer: PreTrainedTokenizerBase
    open: str = "<think>"
    close: str = "</think>"
    answers: tuple[str, ...] = ("Answer:", "The answer is")
    opening: str = ""
    ends: tuple[int, ...] = ()

    def channels(self, tokens: Ragged) -> NDArray[np.uint8]:
        """See `ResponseFormat.channels`."""
        channel = np.full(len(tokens.values), Channel.ANSWER, np.uint8)
        end = np.isin(tokens.values, self.ends or (self.tokenizer.eos_token_id,))
        for row, start in zip(tokens, tokens.offsets, strict=False):
            at = slice(start, start + len(row))
            spans = spans_of(self.tokenizer, row)
            trace = spans.last < self.boundary(spans.text, ended=len(row) > 0 and bool(end[at][-1]))
            channel[at][trace] = Channel.TRACE
        channel[end] = Channel.ANSWER
        return channel

    def summary(self, tokens: Ragged, channel: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """See `ResponseFormat.summary`. The rule, per sentence (up to ``. ! ?`` and white space, or a line's end): with an
        equals sign, what follows the last one is kept; otherwise a sentence with a word of conclusion (so, thus, hence,
        therefore, total, result, equals, gives, gets) is kept whole; all else is dropped."""
        kept = np.zeros(len(tokens.values), np.bool_)
        for row, start in zip(tokens, tokens.offsets, strict=False):
            spans = spans_of(self.tokenizer, row)
            if spans.text:
                kept[start : start + len(row)] = _stated(spans)[spans.last]
        shown: NDArray[np.bool_] = kept & (channel == Channel.TRACE)
        return shown

    def corrupted(self, token: int, rng: np.random.Generator) -> int:
        """See `ResponseFormat.corrupted`: a token with a number becomes another of as many digits, with the same white space
        and signs around it; every other token stays."""
        kind = self._number_kind.get(token)
        others = [t for t in self._same_kind.get(kind, ()) if t != token] if kind else []
        return int(rng.choice(others)) if others else token

    def boundary(self, text: str, ended: bool = False) -> int:
        """How many characters of ``text`` are working, ``ended`` where the model finished it; see the class."""
        if self.close and self.close in text:
            after = text.index(self.close) + len(self.close)
            return after + len(text[after:]) - len(text[after:].lstrip())
        marks = "|".join(map(re.escape, self.answers))
        found = list(re.finditer(rf"\s*[*_#>]*(?:{marks})", text, re.IGNORECASE)) if marks else []
        opened = bool(self.open) and (self.open in text or self._opened_before)
        if opened and not (ended and found):
            return len(text)
        return found[-1].start() if found else 0

    @cached_property
    def _opened_before(self) -> bool:
        """Whether the chat template has begun the working and left it open."""
        _, begun, working = self.opening.rpartition(self.open)
        return bool(begun) and not (self.close and self.close in working)

    @cached_property
    def _number_kind(self) -> dict[int, tuple[str, int, str]]:
        """By id of each token that holds one run of ASCII digits: what is before it, how many, what is after it."""
        ids = list(range(len(self.tokenizer)))
        texts = self.tokenizer.batch_decode([[i] for i in ids], skip_special_tokens=True)
        found = ((i, _NUMBER.fullmatch(text)) for i, text in zip(ids, texts, strict=True) if text.isascii())
        return {i: (m[1], len(m[2]), m[3]) for i, m in found if m}

    @cached_property
    def _same_kind(self) -> dict[tuple[str, int, str], list[int]]:
        groups: dict[tuple[str, int, str], list[int]] = {}
        for token, kind in self._number_kind.items():
            groups.setdefault(kind, []).append(token)
        return groups


def _stated(spans: Spans) -> NDArray[np.bool_]:
    """(characters,) True where a result is stated."""
    mask = np.zeros(len(spans.text), np.bool_)
    for sentence in _SENTENCE.finditer(spans.text):
        equals = sentence[0].rfind("=")
        if equals >= 0:
            mask[sentence.start() + equals + 1 : sentence.end()] = True
        elif _CONCLUSION.search(sentence[0]):
            mask[sentence.start() : sentence.end()] = True
    return mask
