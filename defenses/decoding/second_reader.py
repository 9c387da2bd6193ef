"""A second model that reads along while the teacher samples, and changes what the texts that still grow are drawn from.
Knows nothing of how."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from lm.later import torch

if TYPE_CHECKING:
    from torch import Tensor

    from lm.language_model import LanguageModel


class ReadingAlong(ABC):
    """Base of processors that combine the teacher's scores with a second model's logits: one forward pass a token.

    Args:
        second: the model, with the teacher's tokens.
        temperature: (R,) τ of each response, 0 for greedy; None for 1 everywhere.

    Attributes:
        width: how many tokens there are: the first columns of the logits; models may have more, which no text contains.
        pad: the token that fills rows on the left.
    """

    def __init__(self, second: LanguageModel, temperature: NDArray[np.float64] | None) -> None:
        from lm.alongside import Alongside

        self._reader, self.width, self.temperature = Alongside(second), len(second.vocab), temperature
        self.pad = self._reader.pad
        self._tau: Tensor | float = 1.0
        self._lines: NDArray[np.int64] | None = None

    def begin(self, rows: NDArray[np.int64]) -> None:
        """The next batch holds these rows (B,) of the responses."""
        self._lines, self._tau = None, temperatures(self.temperature, rows)

    def step(self, lines: NDArray[np.int64]) -> None:
        """In the next call only these lines (b,) of the batch still grow."""
        self._lines = lines

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V), those of growing lines combined."""
        lines = np.arange(len(input_ids)) if self._lines is None else self._lines
        if not len(lines):
            return scores
        here = torch.from_numpy(lines)
        logits = self._reader.logits(input_ids, lines)[0].float().to(scores.device)
        shared = min(self.width, logits.shape[1], scores.shape[1])
        tau = self._tau if isinstance(self._tau, float) else self._tau[here].to(scores)
        changed, at = scores.clone(), here.to(scores.device)
        changed[at] = self.combined(input_ids[here.to(input_ids.device)], scores[at], logits[:, :shared], tau)
        return changed

    @abstractmethod
    def combined(self, input_ids: Tensor, scores: Tensor, logits: Tensor, tau: Tensor | float) -> Tensor:
        """Scores (b, V) in the place of these.

        Args:
            input_ids: (b, T) left-padded texts.
            scores: (b, V) log p_T/τ.
            logits: (b, S) of the second model, of the S tokens that both have, which come first.
            tau: τ, (b, 1) or the same for all; 1 where the client is greedy.
        """


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
