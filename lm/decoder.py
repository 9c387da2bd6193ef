"""Next-token logits of a batch of texts that grow: what `lm.generate` draws from, whatever the model is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from lm.cached import CachedModel
from lm.rows import left_padded

COMPACT_BELOW = 0.7
"""Finished lines leave the cache when fewer than this share of it still grows."""


class Decoder(Protocol):
    """A batch of B texts. Which of them grow is the caller's choice; one that has been left out cannot come back."""

    def start(self) -> Tensor:
        """(B, V) logits of each text's next token, in the model's own precision. Called first, once."""
        ...

    def next(self, lines: NDArray[np.int64], token_b: Tensor) -> Tensor:
        """Append tokens to some texts; (b, V) logits of what follows.

        Args:
            lines: (b,) the texts, ascending.
            token_b: their new tokens.
        """
        ...


class TorchDecoder:
    """Any transformers causal language model, with its own key-value cache; texts are padded on the left.

    Args:
        model: the model.
        contexts: B texts, none empty.
        pad: id of the padding token.
        members: texts come in that many equal blocks, as `LanguageModel.members` says.
    """

    def __init__(
        self, model: PreTrainedModel, contexts: Sequence[NDArray[np.int32]], pad: int, members: int = 1
    ) -> None:
        self._model, self._pad, self._members = CachedModel(model), pad, members
        self._ids, self._mask = left_padded(contexts, pad, model.device)
        self._held = np.arange(len(contexts))

    def start(self) -> Tensor:
        """See `Decoder.start`."""
        return self._forward(self._ids)

    def next(self, lines: NDArray[np.int64], token_b: Tensor) -> Tensor:
        """See `Decoder.next`."""
        growing = np.isin(self._held, lines)
        if growing.mean() < COMPACT_BELOW:
            kept = kept_lines(growing, self._members)
            at = torch.from_numpy(kept).to(self._mask.device)
            self._model.keep(at)
            self._mask, self._held, growing = self._mask[at], self._held[kept], growing[kept]
        where = torch.from_numpy(growing).to(token_b.device)
        feed = torch.full((len(self._held),), self._pad, dtype=torch.int64, device=token_b.device)
        feed[where] = token_b
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._held), 1)], 1)
        return self._forward(feed[:, None])[where]

    def _forward(self, feed: Tensor) -> Tensor:
        return self._model.read(feed, self._mask)


def kept_lines(growing: NDArray[np.bool_], members: int) -> NDArray[np.int64]:
    """Lines of a batch that go on: the growing ones, and of each member as many as of the one that has most."""
    blocks = growing.reshape(members, -1)
    first = np.argsort(~blocks, axis=1, kind="stable")[:, : int(blocks.sum(1).max())]
    lines: NDArray[np.int64] = (np.sort(first, axis=1) + np.arange(members)[:, None] * blocks.shape[1]).reshape(-1)
    return lines
