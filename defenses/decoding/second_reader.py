"""A second model that reads along while the teacher samples: its logits of the next token, keys and values cached. Knows
nothing of what is done with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from configs.errors import ConfigError
from lm.cached import CachedModel

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


class SecondReader:
    """Gives logits of every next token.

    Args:
        lm: the model that reads along, with the teacher's tokens.

    Attributes:
        width: how many tokens there are: the first columns of the logits; models may have more, which no text contains.
        pad: the token that fills rows on the left.
    """

    def __init__(self, lm: LanguageModel) -> None:
        pad, end = lm.tokenizer.pad_token_id, lm.tokenizer.eos_token_id
        self.pad, self.width, self.device = pad if pad is not None else end, len(lm.vocab), lm.device
        self._reader = CachedModel(lm.model)
        self._seen: Tensor | None = None

    @torch.no_grad()
    def logits(self, input_ids_BT: Tensor) -> Tensor:
        """(B, V) in the model's own precision, on its own device.

        A call whose input is the last call's with one column more reads that column alone, any other call starts anew.

        Args:
            input_ids_BT: left-padded with the tokenizer's pad token.
        """
        ids, before = input_ids_BT.to(self.device), self._seen
        goes_on = before is not None and before.shape == ids[:, :-1].shape and before.equal(ids[:, :-1])
        self._seen = ids
        if not goes_on:
            self._reader.forget()
        mask = (ids != self.pad).cumsum(1).clamp_max(1)
        return self._reader.read(ids[:, -1:] if goes_on else ids, mask)


def temperatures(temperature: NDArray[np.float64] | None, rows: NDArray[np.int64]) -> Tensor | float:
    """τ (B, 1) that divides the logits of the rows of a batch, 1 where they are greedy; 1.0 where nobody asks.

    Args:
        temperature: (R,) τ of each response, 0 for greedy, None for 1 everywhere (`RequestFacts.temperature`).
        rows: (B,) of the responses.
    """
    if temperature is None:
        return 1.0
    tau = temperature[rows]
    return torch.from_numpy(np.where(tau > 0, tau, 1.0))[:, None]


def require_same_vocabulary(defense: str, role: str, teacher: LanguageModel, other: LanguageModel) -> None:
    """Raise `ConfigError` where a second model has other tokens than the teacher.

    Args:
        defense: name of the defense that runs it.
        role: what it is to the defense ("proxy", "student").
        teacher: the model that answers.
        other: the second one.
    """
    ours, theirs = teacher.vocab, other.vocab
    if ours != theirs:
        pairs = enumerate(zip(ours, theirs, strict=False))
        first = next((i for i, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
        raise ConfigError(
            f"defense.{defense}",
            f"{len(theirs)} tokens in the {role}",
            f"needs a {role} with the teacher's tokenizer ({len(ours)} tokens); they differ from id {first}",
        )
