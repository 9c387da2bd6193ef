"""Texts that grow under a plain transformers model, without doing the same twice: what several begin with is read once,
equal texts are read once, texts of like length are read together, and those that have ended leave the batch."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from lm.batches import length_batches
from lm.beginnings import Beginning, beginnings
from lm.cached import CachedModel
from lm.roomy import RoomyCache, is_plain
from lm.rows import left_padded

COMPACT_BELOW = 0.9
"""Ended texts leave the batch when fewer than this share of it still grows: each new shape of a matrix product costs its
set-up."""
AT_ONCE, ON_GPU = 4096, 65_536
"""Tokens of contexts that are read together: on a CPU more are no quicker, and take memory."""


class _Part(NamedTuple):
    """Texts that were read together: which, logits (b, V) of their next tokens, mask (b, T), and their cache."""

    texts: NDArray[np.int64]
    logits: Tensor
    mask: Tensor
    cache: RoomyCache


def grows(model: PreTrainedModel) -> bool:
    """Whether `GrowingDecoder` takes a model: one of transformers' own whose layers all attend to everything, and whose
    positions are given."""
    if not type(model).__module__.startswith("transformers."):
        return False
    return "position_ids" in inspect.signature(model.forward).parameters and is_plain(_text(model))


class GrowingDecoder:
    """A `lm.decoder.Decoder` of such a model.

    A row of the cache holds padding, what its text and others begin with, padding again, the rest of its own context, and
    what was said since.

    Args:
        model: one of `grows`.
        contexts: B texts, none empty.
        pad: id of the padding token.
    """

    def __init__(self, model: PreTrainedModel, contexts: Sequence[NDArray[np.int32]], pad: int) -> None:
        self._cache = RoomyCache(_text(model))
        self._plain, self._model, self._pad = model, CachedModel(model, self._cache), pad
        self._contexts, self._device = contexts, model.device
        self._held = np.arange(len(contexts))  # the text in each row of the cache
        self._mask = torch.zeros(0)

    def start(self) -> Tensor:
        """See `lm.decoder.Decoder.start`."""
        different = list({row.tobytes(): row for row in self._contexts}.values())
        number = {row.tobytes(): i for i, row in enumerate(different)}
        parts = list(self._parts(different, beginnings(different), RoomyCache(_text(self._plain))))
        at = [torch.from_numpy(part.texts) for part in parts]  # not on a device: layers may be on several
        longest = max(part.mask.shape[1] for part in parts)
        self._mask = torch.zeros(len(different), longest, dtype=torch.int64, device=self._device)
        logits_BV = parts[0].logits.new_empty(len(different), parts[0].logits.shape[1])
        for rows, part in zip(at, parts, strict=True):
            self._mask[rows, longest - part.mask.shape[1] :] = part.mask
            logits_BV[rows] = part.logits
        self._cache.gather([part.cache for part in parts], at)
        if len(different) < len(self._contexts):
            rows = torch.tensor([number[row.tobytes()] for row in self._contexts])
            self._model.spread(rows)
            self._mask, logits_BV = self._mask[rows], logits_BV[rows]
        return logits_BV

    def _parts(self, texts: Sequence[NDArray[np.int32]], beginning: Beginning, cache: RoomyCache) -> Iterator[_Part]:
        """Read all texts that begin so; the cache holds one row, what the beginning above ends with."""
        end = beginning.end
        shown = torch.ones(1, end, dtype=torch.int64, device=self._device)
        if len(beginning.tokens):
            ids = torch.from_numpy(beginning.tokens[None].astype(np.int64)).to(self._device)
            CachedModel(self._plain, cache).read(ids, shown)
        lengths = np.array([len(texts[r]) for r in beginning.texts], np.int64) - end
        for part in length_batches(lengths, AT_ONCE if self._device.type == "cpu" else ON_GPU):
            rows, own = beginning.texts[part], cache.copied()
            own.spread(torch.zeros(len(rows), dtype=torch.int64))
            ids, mask = left_padded([texts[r][end:] for r in rows], self._pad, self._device)
            mask = torch.cat([shown.expand(len(rows), -1), mask], 1)
            yield _Part(rows, CachedModel(self._plain, own).read(ids, mask), mask, own)
        for further in beginning.further:
            yield from self._parts(texts, further, cache.copied())

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
        target, source = (torch.from_numpy(places) for places in (holes, last))
        self._model.move(source, target, rows)
        self._mask[target] = self._mask[source]
        self._held[holes] = self._held[last]
        self._mask, self._held = self._mask[:rows], self._held[:rows]


def _text(model: PreTrainedModel) -> object:
    return model.config.get_text_config(decoder=True)
