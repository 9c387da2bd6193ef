"""The pairs of a context and the token after it, in which watermarks are written and looked for: taken from texts, each
counted once, and hashed with a secret. Knows no single watermark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from defenses.keyed import Words, secret_word
from lm.ragged import Ragged
from lm.randomness import chosen, mixed

if TYPE_CHECKING:
    from torch import Tensor

    from lm.language_model import LanguageModel

NOTHING = -1
"""Stands in a context where the text has not begun."""


def padding(lm: LanguageModel) -> int:
    """The token that fills rows on the left while the model samples."""
    pad = lm.tokenizer.pad_token_id
    return pad if pad is not None else int(lm.ends[0])


def texts_of(input_ids: Tensor, pad: int) -> NDArray[np.int64]:
    """(B, T) left-padded tokens, with `NOTHING` for the padding; a pad token within a text is one of its tokens."""
    ids = input_ids.cpu().numpy()
    return np.where((ids != pad).cumsum(1) > 0, ids, NOTHING)


def last(texts: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """(B, width) the context of the next token of each text (B, T)."""
    context = texts[:, -width:]
    return np.pad(context, ((0, 0), (width - context.shape[1], 0)), constant_values=NOTHING)


def contexts(texts: Ragged, width: int) -> NDArray[np.int64]:
    """(N, width) the tokens before each token of each text, in order; `NOTHING` before the text begins."""
    back = np.arange(width, 0, -1)
    at = np.arange(len(texts.values))[:, None] - back
    there = texts.position[:, None] >= back
    return np.where(there, texts.values[np.maximum(at, 0)], NOTHING)


def pairs_of(prompts: Ragged, answers: Ragged, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(N, width + 1) context and token for each token of the answers, and the same for those of the prompts before them."""
    texts = Ragged.of([np.concatenate(pair) for pair in zip(prompts, answers, strict=True)])
    said = texts.position >= prompts.lengths[texts.row_of_value]
    pairs = np.column_stack([contexts(texts, width), texts.values])
    return pairs[said], pairs[~said]


def distinct(pairs: NDArray[np.int64], but: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each different row of (N, C) once, without those that are among the rows of ``but`` (M, C)."""
    rows = np.concatenate([but, pairs])
    first = firsts(rows)
    return rows[first[first >= len(but)]]


def firsts(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) where each different one of rows (N, C) is met first."""
    return np.unique(rows, axis=0, return_index=True)[1].astype(np.int64)


def context_words(context: NDArray[np.integer], key: int, secret: int) -> Words:
    """(B,) a keyed hash of each context (B, width); the order of its tokens matters.

    Args:
        context: the tokens before, `NOTHING` before the text begins.
        key: the watermark's.
        secret: the provider's.
    """
    word = np.repeat(mixed(secret_word(key) ^ np.uint64(secret % 2**64)), len(context))
    for column in context.T:  # `width` of them
        word = mixed(word ^ mixed((column.astype(np.int64) + 1).astype(np.uint64)))
    return word


def token_words(tokens: NDArray[np.integer]) -> Words:
    """(B, X) a hash of tokens (B, X), or (1, X) of tokens (X,) that are the same for all."""
    return np.atleast_2d(mixed(tokens.astype(np.uint64)))


def green_tokens(
    context: NDArray[np.integer], tokens: NDArray[np.integer], share: float, key: int, secret: int
) -> NDArray[np.bool_]:
    """(B, X) which tokens are green after each context: each token for itself with probability ``share``.

    Args:
        context: (B, width), `NOTHING` before the text begins.
        tokens: (B, X), or (X,) the same for all.
        share: in (0, 1).
        key: the watermark's.
        secret: the provider's.
    """
    return chosen(context_words(context, key, secret), token_words(tokens), share)
