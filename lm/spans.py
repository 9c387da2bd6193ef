"""Which characters of a decoded row come from which token. Works for every fast tokenizer, byte-level ones included, where a
character may need several tokens. Knows nothing of what the text means."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


class Spans(NamedTuple):
    """A decoded row.

    Args:
        text: all complete characters, special tokens included.
        ends: (T,) int64 number of characters complete once token t is read; a token that only starts a character adds none.
    """

    text: str
    ends: NDArray[np.int64]

    @property
    def last(self) -> NDArray[np.int64]:
        """(T,) the last character each token has a part in: for a token that only starts a character, that character.
        0 throughout when there is no text."""
        at = np.maximum.accumulate(self.ends) - 1
        grows = np.diff(self.ends, prepend=0) > 0
        later = np.where(grows, at, len(self.text) - 1)
        return np.minimum.accumulate(later[::-1])[::-1].clip(0)


def spans_of(tokenizer: PreTrainedTokenizerBase, row: NDArray[np.integer]) -> Spans:
    """Decode one row token by token. Bytes that never become a character (a cut or invalid UTF-8 sequence) add
    nothing or the replacement character, as the tokenizer decides; they never raise."""
    from tokenizers.decoders import DecodeStream

    backend = backend_of(tokenizer)
    stream = DecodeStream(skip_special_tokens=False)
    pieces: list[str] = []
    ends = np.zeros(len(row), np.int64)
    length = 0
    for i, token in enumerate(row.tolist()):
        try:
            piece = stream.step(backend, token)
        except Exception:  # the Rust side gives up on some invalid byte sequences: go on from here
            stream = DecodeStream(skip_special_tokens=False)
            piece = stream.step(backend, token)
        if piece:
            pieces.append(piece)
            length += len(piece)
        ends[i] = length
    return Spans("".join(pieces), ends)


def backend_of(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    """The tokenizers-library object behind a fast tokenizer.

    Raises:
        ConfigError: the tokenizer is not a fast one.
    """
    backend: Tokenizer | None = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ConfigError(
            "path", type(tokenizer).__name__, "is not a fast tokenizer; convert it to tokenizer.json first"
        )
    return backend
