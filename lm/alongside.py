"""Models that read along while another one answers: what they would say next, at what their own forward passes cost.

A processor of `lm.generate` sees the whole batch as it stands, padding and ended texts included; a plain cache that reads
all of it takes about twice as long as the passes need. So each model has a decoder of its own, which is given what is new
in the texts that still grow. Knows no defenses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lm.decoder import Decoder
from lm.handle import ModelHandle
from lm.passes import reading

ROOM = 32
"""Tokens that decoders have room for at first; they make more where texts grow longer."""


class Alongside:
    """Models of one tokenizer, and what each has read of a batch so far.

    Args:
        lms: the models; one each, not several (`LanguageModel.members`).

    Attributes:
        pad: the token that fills rows on the left.
    """

    def __init__(self, *lms: ModelHandle) -> None:
        self._lms = lms
        tokenizer = lms[0].tokenizer
        self.pad: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        self._decoders: list[Decoder] = []
        self._opened = self._held = np.zeros(0, np.int64)
        self._seen: Tensor | None = None

    @torch.no_grad()
    def logits(self, input_ids_BT: Tensor, lines: NDArray[np.int64]) -> list[Tensor]:
        """(b, V) logits of each model, in its own precision: of the next token of some of the texts.

        A call whose texts are the last call's with one column more, and whose lines were among those of that call, costs one
        position a line; any other call starts anew.

        Args:
            input_ids_BT: left-padded with ``pad``.
            lines: (b,) the texts, ascending, at least one.
        """
        ids, before = input_ids_BT.cpu(), self._seen
        same = before is not None and before.shape == ids[:, :-1].shape and before.equal(ids[:, :-1])
        goes_on = same and bool(np.isin(lines, self._held).all())
        self._seen, self._held = ids, lines
        if not goes_on:
            return self._started(ids, lines)
        own, token_b = np.searchsorted(self._opened, lines), ids[torch.from_numpy(lines), -1]
        found = []
        for lm, decoder in zip(self._lms, self._decoders, strict=True):
            with reading(lm.model, len(lines), len(lines)):
                found.append(decoder.next(own, token_b.to(lm.device)))
        return found

    def _started(self, ids_BT: Tensor, lines: NDArray[np.int64]) -> list[Tensor]:
        contexts = _unpadded(ids_BT.numpy()[lines], self.pad)
        self._opened = lines
        self._decoders = [lm.decoder(contexts, self.pad, ROOM) for lm in self._lms]
        found = []
        for lm, decoder in zip(self._lms, self._decoders, strict=True):
            with reading(lm.model, len(contexts), sum(map(len, contexts))):
                found.append(decoder.start())
        return found


def _unpadded(ids_BT: NDArray[np.int64], pad: int) -> Sequence[NDArray[np.int32]]:
    """Each text without the padding on its left."""
    return [row[first:].astype(np.int32) for row, first in zip(ids_BT, (ids_BT != pad).argmax(1), strict=True)]
