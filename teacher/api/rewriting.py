"""Responses as text, and responses made from text: for defenses that read and reword what the teacher wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lm.ragged import Ragged
from lm.types import ResponseFormat
from teacher.api.schema import Responses


class Codec(Protocol):
    """From token ids to text and back, in the teacher's tokens."""

    def decode(self, tokens: Ragged) -> list[str]:
        """Text of each row, without special tokens and without what ends a response."""
        ...

    def encode(self, texts: Sequence[str]) -> Ragged:
        """Token ids of each text as it stands."""
        ...

    @property
    def ends(self) -> NDArray[np.int64]:
        """Ids at which a response ends."""
        ...


def reworded(
    responses: Responses, rows: NDArray[np.integer], texts: Sequence[str], codec: Codec, format: ResponseFormat
) -> Responses:
    """The responses with these rows said in other words.

    The new texts are whole: an end of sequence follows where the response had reached one. What is billed stays what the
    teacher generated. Logprobs of new tokens are not known: they become NaN, ids -1, and -inf.

    Args:
        responses: R.
        rows: (K,) of them, each once.
        texts: K texts, working and answer as the format spells them.
        codec: of the teacher's tokens.
        format: says what each new token is for.
    """
    if not len(rows):
        return responses
    end = np.asarray([codec.ends[-1]], np.int32)
    ended = np.array([len(t) > 0 and t[-1] in codec.ends for t in responses.tokens])
    written = [np.concatenate([t, end]) if ended[r] else t for r, t in zip(rows, codec.encode(texts), strict=True)]
    tokens = Ragged.of(written)
    n = len(tokens.values)
    new = replace(
        responses.take(rows),
        tokens=tokens,
        channel=format.channels(tokens),
        logprob=None if responses.logprob is None else np.full(n, np.nan, np.float32),
        top_ids=None if responses.top_ids is None else np.full((n, responses.top_ids.shape[1]), -1, np.int32),
        top_logprobs=None
        if responses.top_logprobs is None
        else np.full((n, responses.top_logprobs.shape[1]), -np.inf, np.float32),
    )
    left = np.setdiff1d(np.arange(len(responses)), rows)
    order = np.argsort(np.concatenate([left, rows]), kind="stable")
    return Responses.concat([responses.take(left), new]).take(order)
