"""How far one call of `lm.generate.generate` is, and its batches that are drawn, kept so that a kill costs one batch. Draws
nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from lm.handle import ModelHandle
from lm.passes import counted
from lm.rows import DrawnBatch
from lm.types import Sampling
from lm.underway import Pace, saved, takes_long


class BatchKeep:
    """Of one call; does nothing for mini models, and keeps nothing while passes are counted, all of which have to be made.

    A row's draws are its own stream, and a batch holds the same rows whenever the same is asked: what is read again is what
    would be drawn again.

    Args:
        lm: the model.
        rows: that are asked for.
    """

    def __init__(self, lm: ModelHandle, rows: int) -> None:
        self._pace = Pace(rows) if takes_long(lm.model) else None
        self._saved = None if self._pace is None or counted() else saved()
        self._ended = 0

    def drawn(
        self,
        contexts: Sequence[NDArray[np.int32]],
        seeds: NDArray[np.int64],
        sampling: Sampling,
        draw: Callable[[], DrawnBatch],
    ) -> DrawnBatch:
        """What a batch draws: read, or drawn and kept. ``contexts`` are its texts so far, and what each has to say where
        that is given."""
        if self._saved is None:
            found = draw()
        else:
            name = _name(contexts, seeds, sampling)
            kept = self._saved.get(name)
            found = draw() if kept is None else DrawnBatch(*(kept[field].numpy() for field in DrawnBatch._fields))
            if kept is None:
                self._saved.put(name, {field: torch.from_numpy(array) for field, array in found._asdict().items()})
        self._ended += len(seeds)
        return found

    def step(self, growing: int, rows: int) -> None:
        """A batch of so many rows, of which some still grow, has drawn a token each."""
        if self._pace is not None:
            self._pace.add(growing)
            self._pace.tell(self._ended + rows - growing)


def _name(contexts: Sequence[NDArray[np.int32]], seeds: NDArray[np.int64], sampling: Sampling) -> str:
    lengths = np.array([len(context) for context in contexts], np.int64)
    told = hashlib.sha256()
    for array in (lengths, *contexts, seeds, np.asarray(sampling.temperature), np.asarray(sampling.max_tokens)):
        told.update(np.ascontiguousarray(array).tobytes())
    told.update(repr((sampling.top_logprobs, sampling.logit_bias)).encode())
    return told.hexdigest()
