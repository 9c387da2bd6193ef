"""A fit under way: how fast it is, and its state, kept now and then so that a kill costs minutes. Trains nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lm import underway
from lm.examples import Examples

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

PART = "fit"


class Restorable(Protocol):
    """Something in training; `lm.train.Trainer` is."""

    def state(self) -> dict[str, Tensor]:
        """All that its next step depends on, besides the rows."""
        ...

    def restore(self, state: Mapping[str, Tensor]) -> int:
        """Go on from there; the steps that were taken."""
        ...


class Fitting:
    """One fit. For mini models, which are done in seconds, it does nothing.

    Attributes:
        first: number of the first step that is still to be taken.

    Args:
        model: in training.
        trainer: goes on from what was kept, where something was.
        curve: (steps,) losses so far; those of steps that were taken before are filled in.
    """

    def __init__(self, model: PreTrainedModel, trainer: Restorable, curve: NDArray[np.float32]) -> None:
        long = underway.takes_long(model)
        self._trainer, self._curve = trainer, curve
        self._saved = underway.saved() if long else None
        self.first, self._last = 0, time.monotonic()
        kept = None if self._saved is None else self._saved.get(PART)
        if kept is not None:
            self.first = trainer.restore(kept)
            curve[: self.first] = kept["curve"].numpy()[: self.first]
            torch.set_rng_state(kept["luck"])  # dropout draws from it
        self._pace = underway.Pace(len(curve) - self.first) if long else None

    def after(self, step: int, rows: Examples) -> str:
        """A step was taken on these rows: keeps the state where it is time; what to tell, "" of mini models."""
        if self._saved is not None and time.monotonic() - self._last >= underway.SAVE_SECONDS:
            more = {"curve": torch.from_numpy(self._curve), "luck": torch.get_rng_state()}
            self._saved.put(PART, {**self._trainer.state(), **more})
            self._last = time.monotonic()
        if self._pace is None:
            return ""
        self._pace.add(len(rows.prompts.values) + len(rows.completions.values))
        return f"loss {self._curve[step]:.3f}, {self._pace.note(step + 1 - self.first)}"
