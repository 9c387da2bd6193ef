"""Logprobs as an API returned them, token by token of its own tokenizer, carried over to the tokens of another one. Knows
nothing of files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lm.spans import spans_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TokenLogprobs(NamedTuple):
    """What an API said of the tokens of one response.

    Args:
        tokens: T texts; together they are the response.
        logprobs: (T,) of each.
        listed: T lists of alternatives with their logprobs, most probable first.
    """

    tokens: list[str]
    logprobs: NDArray[np.float32]
    listed: list[list[tuple[str, float]]]


class Carried(NamedTuple):
    """The same for the N tokens of another tokenizer.

    Args:
        logprob: (N,) float32, NaN where nothing is known.
        listed: N lists as `TokenLogprobs.listed`.
        matched: (N,) bool which tokens the API has too, at the same place.
    """

    logprob: NDArray[np.float32]
    listed: list[list[tuple[str, float]]]
    matched: NDArray[np.bool_]


def told_of(cell: Any) -> TokenLogprobs | None:
    """A cell of a dataset as the chat API of OpenAI, and those that follow it, spell logprobs: a list of ``{token, logprob,
    top_logprobs: [{token, logprob}]}``, or that under ``content``, or either as JSON; None for an empty cell.

    Raises:
        ValueError: it is something else.
    """
    value = json.loads(cell) if isinstance(cell, str) and cell.strip() else cell
    value = value.get("content") if isinstance(value, Mapping) else value
    if not value:
        return None
    try:
        tokens = [str(one["token"]) for one in value]
        logprobs = np.array([float(one["logprob"]) for one in value], np.float32)
        listed = [
            sorted(((str(o["token"]), float(o["logprob"])) for o in one.get("top_logprobs") or ()), key=_least_first)
            for one in value
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("is no list of {token, logprob, top_logprobs}") from error
    return TokenLogprobs(tokens, logprobs, listed)


def carried(
    told: TokenLogprobs | None, response: str, row: NDArray[np.int32], tokenizer: PreTrainedTokenizerBase
) -> Carried:
    """What is known of the tokens of a row that ends with ``response``, special tokens after it aside.

    A token of the row gets what the API said of a token with the same characters at the same place; of every other one
    nothing is known. Where the API's tokens do not spell the response, white space around it aside, nothing is known at all.
    """
    nothing = Carried(np.full(len(row), np.nan, np.float32), [[] for _ in row], np.zeros(len(row), np.bool_))
    said = "" if told is None else "".join(told.tokens)
    if told is None or said.strip() != response:
        return nothing
    spans = spans_of(tokenizer, row)
    shift = spans.text.rfind(response)
    if shift < 0:
        return nothing
    ends = spans.ends - shift
    starts = np.concatenate([[-shift], ends[:-1]])
    theirs = np.cumsum([len(token) for token in told.tokens]) - (len(said) - len(said.lstrip()))
    first = theirs - [len(token) for token in told.tokens]
    at = np.searchsorted(first, starts).clip(0, len(first) - 1)
    matched = (first[at] == starts) & (theirs[at] == ends) & (ends > starts)
    logprob = np.where(matched, told.logprobs[at], np.nan).astype(np.float32)
    return Carried(logprob, [told.listed[i] if ok else [] for i, ok in zip(at, matched, strict=True)], matched)


def tokens_of(
    listed: Sequence[Sequence[tuple[str, float]]], tokenizer: PreTrainedTokenizerBase
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """(N, k) ids and logprobs of N lists of texts, -1 and -inf where missing; a text that is not one token of the tokenizer
    is left out."""
    texts = list({text for entries in listed for text, _ in entries})
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    known = {text: ids[0] for text, ids in zip(texts, encoded, strict=True) if len(ids) == 1}
    kept = [[(known[text], value) for text, value in entries if text in known] for entries in listed]
    most = max(map(len, listed), default=0)
    ids, logprobs = np.full((len(kept), most), -1, np.int32), np.full((len(kept), most), -np.inf, np.float32)
    for at, entries in enumerate(kept):
        for place, (token, value) in enumerate(entries):
            ids[at, place], logprobs[at, place] = token, value
    return ids, logprobs


def _least_first(entry: tuple[str, float]) -> float:
    return -entry[1]
