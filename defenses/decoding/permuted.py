"""The control of antidistillation sampling: its perturbation without its information."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from defenses.base import Defense, RequestFacts, Serving
from defenses.decoding.antidistillation import Antidistillation, DeltaProcessor
from defenses.keyed import Words, row_hashes, secret_word
from lm.later import torch
from lm.ragged import Ragged
from lm.randomness import chosen, crossed, mixed

if TYPE_CHECKING:
    from torch import Tensor

    from defenses.decoding.proxy_delta import PerturbedProxy


@dataclass(frozen=True)
class Permuted(Antidistillation):
    """Antidistillation with each step's Δ randomly permuted and sign-flipped over the vocabulary: the mandatory control.

    The sizes |Δ| of a step stay the same, their tokens and signs become random. Permutation and signs are a keyed hash of
    (``key``, the tokens so far): like Δ itself a function of the prefix, the same in every batch, and independent from step
    to step.

    Args:
        key: chooses the permutations.
    """

    name: ClassVar[str] = "permuted"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "the permutation control of Savani et al., arXiv 2504.13146"
    checked: ClassVar[str] = "the sizes of Δ, token by token; fairness of signs and places"
    prepared_as: ClassVar[type[Defense] | None] = Antidistillation

    key: int = 0

    def decode(self, serving: Serving, asked: RequestFacts) -> DeltaProcessor | None:
        """See `Antidistillation.decode`."""
        informed = super().decode(serving, asked)
        return informed and _PermutedProcessor(informed.perturbed, informed.strength, self.key)


class _PermutedProcessor(DeltaProcessor):
    def __init__(self, perturbed: PerturbedProxy, strength: float, key: int) -> None:
        super().__init__(perturbed, strength)
        self.key = key

    def arranged(self, input_ids: Tensor, delta: Tensor) -> Tensor:
        """Each row's values of Δ (B, V) in another order and with random signs."""
        ids = input_ids.cpu().numpy()
        real = (ids != self.perturbed.pad).cumsum(1) > 0
        rows = Ragged.with_lengths(ids[real], real.sum(1))
        place = mixed(row_hashes(rows) ^ secret_word(self.key))
        words: Words = crossed(place, mixed(np.arange(delta.shape[1], dtype=np.uint64)))
        order = torch.from_numpy(np.argsort(words, axis=1)).to(delta.device)
        kept = chosen(words.reshape(-1), np.zeros((1, 1), np.uint64), 0.5).reshape(words.shape)
        moved = delta.gather(1, order)
        return torch.where(torch.from_numpy(kept).to(delta.device), moved, -moved)
