"""Sell confidences that several true ones could stand behind: the reverse sigmoid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from configs.ranges import between, more_than
from defenses.base import Defense, ReleaseContext
from defenses.release.told import Rows, in_blocks, told_of, with_told
from defenses.strength import Strength
from teacher.api.schema import Responses


@dataclass(frozen=True)
class ReverseSigmoid(Defense):
    """Sells y' ∝ y − β(σ(γ·logit y) − ½): large probabilities are lowered and small ones raised.

    For β ≤ 1 nothing becomes negative. Tokens of probability near 0 are raised to about β/2 each, before the sum is brought
    back to what it was, so that over V tokens an L1 distance of 1 is reached near β = 2/V. The most probable token stays the
    most probable one wherever y_1 − β(σ(γ·logit y_1) − ½) ≥ β/2, and always where γ = 1; beyond that, tokens of probability
    0 overtake it.

    Equation 3 of the paper is followed. Mazeika et al.'s code, in their comparison of defenses, holds the odds y/(1 − y)
    below 1 before their logarithm, so that probabilities above ½ are not lowered.

    Args:
        beta: β, in [0, 1]; 0 changes nothing.
        gamma: γ, positive.
    """

    name: ClassVar[str] = "reverse_sigmoid"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Lee et al. 2018, arXiv 1806.00054, equation 3"
    checked: ClassVar[str] = "the formula row by row; argmax kept at moderate β"
    needs: ClassVar[tuple[str, ...]] = ("top_logprobs",)
    uses: ClassVar[tuple[str, ...]] = ()
    reads_logprobs: ClassVar[int] = -1
    strength: ClassVar[Strength | None] = Strength("beta", 0, 1)

    beta: float
    gamma: float = 0.2

    def __post_init__(self) -> None:
        between(self, 0, 1, "beta")
        more_than(self, 0, "gamma")

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Change what is told of each token."""
        if self.beta == 0:
            return responses
        told = told_of(responses)
        return with_told(responses, told, reversed_sigmoid(told.probs, told.listed, self.beta, self.gamma))


def reversed_sigmoid(probs: Rows, listed: NDArray[np.bool_], beta: float, gamma: float) -> Rows:
    """(M, C) y'.

    Args:
        probs: (M, C) y.
        listed: (M, C) which columns there are; the others stay 0.
        beta: β.
        gamma: γ.
    """

    def change(y: Rows, there: NDArray[np.bool_]) -> Rows:
        with np.errstate(divide="ignore"):
            raised = y - beta * (expit(gamma * logit(y)) - 0.5)
        raised = np.where(there, np.clip(raised, 0.0, None), 0.0)
        total = raised.sum(1, keepdims=True)
        scaled: Rows = raised * (y.sum(1, keepdims=True) / np.maximum(total, 1e-300))
        return scaled

    return in_blocks(change, probs, listed)
