"""Texts that grow under a plain transformers model, without doing the same twice: what all of them begin with is read
once, equal texts are read once, and those that have ended leave the batch."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from lm.cached import CachedModel
from lm.roomy import RoomyCache, is_plain
from lm.rows import left_padded

COMPACT_BELOW = 0.9
"""Ended texts leave the batch when fewer than this share of it still grows: each new shape of a matrix product costs its
set-up."""
SHARED = 8
"""Tokens that all texts begin with from which on they are read apart."""


def grows(model: PreTrainedModel) -> bool:
    """Whether `GrowingDecoder` takes a model: one of transformers' own whose layers all attend to everything, and whose
    positions are given."""
    if not type(model).__module__.startswith("transformers."):
        return False
    return "position_ids" in inspect.signature(model.forward).parameters and is_plain(_text(model))


class GrowingDecoder:
    """A `lm.decoder.Decoder` of such a model.

    A row of the cache holds what all texts begin with, padding, the rest of its own context, and what was said since.

    Args:
        model: one of `grows`.
        contexts: B texts, none empty.
        pad: id of the padding token.
    """

    def __init__(self, model: PreTrainedModel, contexts: Sequence[NDArray[np.int32]], pad: int) -> None:
        self._model, self._pad = CachedModel(model, RoomyCache(_text(model))), pad
        self._contexts, self._device = contexts, model.device
        self._held = np.arange(len(contexts))  # the text in each row of the cache
        self._mask = torch.zeros(0)

    def start(self) -> Tensor:
        """See `lm.decoder.Decoder.start`."""
        different = list({row.tobytes(): row for row in self._contexts}.values())
        number = {row.tobytes(): i for i, row in enumerate(different)}
        begun = _begun_alike(different)
        if begun < SHARED:
            begun = 0
        shown = torch.ones(1, begun, dtype=torch.int64, device=self._device)
        if begun:
            ids = torch.from_numpy(different[0][None, :begun].astype(np.int64)).to(self._device)
            self._model.read(ids, shown)
            self._model.spread(torch.zeros(len(different), dtype=torch.int64, device=self._device))
        ids, mask = left_padded([row[begun:] for row in different], self._pad, self._device)
        self._mask = torch.cat([shown.expand(len(different), -1), mask], 1)
        logits_BV = self._model.read(ids, self._mask)
        if len(different) < len(self._contexts):
            rows = torch.tensor([number[row.tobytes()] for row in self._contexts], device=self._device)
            self._model.spread(rows)
            self._mask, logits_BV = self._mask[rows], logits_BV[rows]
        return logits_BV

    def next(self, lines: NDArray[np.int64], token_b: Tensor) -> Tensor:
        """See `lm.decoder.Decoder.next`."""
        if len(lines) < COMPACT_BELOW * len(self._held):
            self._drop(np.isin(self._held, lines))
        place = np.zeros(len(self._contexts), np.int64)
        place[self._held] = np.arange(len(self._held))
        at = torch.from_numpy(place[lines]).to(self._device)
        feed = torch.full((len(self._held),), self._pad, dtype=torch.int64, device=self._device)
        feed[at] = token_b.to(torch.int64)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._held), 1)], 1)
        return self._model.read(feed[:, None], self._mask)[at]

    def _drop(self, growing: NDArray[np.bool_]) -> None:
        """The last growing texts move into the rows of those that have ended, so that the first rows are all that grow."""
        rows = int(growing.sum())
        holes, last = np.flatnonzero(~growing[:rows]), rows + np.flatnonzero(growing[rows:])
        target, source = (torch.from_numpy(places).to(self._device) for places in (holes, last))
        self._model.move(source, target, rows)
        self._mask[target] = self._mask[source]
        self._held[holes] = self._held[last]
        self._mask, self._held = self._mask[:rows], self._held[:rows]


def _text(model: PreTrainedModel) -> object:
    return model.config.get_text_config(decoder=True)


def _begun_alike(texts: Sequence[NDArray[np.int32]]) -> int:
    """How many tokens all texts begin with, so that at least one of each is left."""
    most = min(map(len, texts)) - 1
    whole = np.stack([text[:most] for text in texts])
    unlike = np.flatnonzero((whole != whole[0]).any(0))
    return int(unlike[0]) if len(unlike) else most
