"""A product of experts: the teacher answers together with a student of the provider's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.ranges import between
from defenses.base import Defense, RequestFacts, Serving
from defenses.decoding.second_reader import ReadingAlong, require_same_vocabulary
from defenses.strength import Strength
from lm.later import torch

if TYPE_CHECKING:
    from torch import Tensor

    from lm.language_model import LanguageModel
    from lm.types import Processor

NEVER = -1e9
"""Log-probability of a token that the student does not have; finite, so that nothing becomes NaN."""


@dataclass(frozen=True)
class ProductOfExperts(Defense):
    """Samples from softmax([(1 − γ) z_T + γ z_P] / τ): half way between the teacher and what a student of it would say.

    What a student would learn most from are tokens that the teacher finds likelier than a student does (z_T above z_P).
    They lose most, and no gradient is needed: one forward pass of the student a token, keys and values cached. z_P are the
    logits of a student that the provider has distilled from the undefended teacher on prompts of its own, τ the temperature
    that the client asks for (1 where it is greedy, of which the largest logit is taken). A ``logit_bias`` acts on the
    teacher alone, and thus with a weight of 1 − γ. At γ = 0 the teacher answers alone and no student runs; at γ = 1 the
    student answers alone. Tokens that an earlier defense forbids (−∞) stay forbidden; those beyond the shared vocabulary,
    which no text contains, are not said.

    Args:
        gamma: γ, in [0, 1]; the paper uses about 0.6 to 0.7.

    Raises:
        ConfigError: on decoding, when teacher and student have different vocabularies.
    """

    name: ClassVar[str] = "product_of_experts"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Allouah et al., arXiv 2605.22737"
    checked: ClassVar[str] = "the two models' softmax at the client's temperature, step by step"
    uses: ClassVar[tuple[str, ...]] = ("student",)
    passes: ClassVar[float] = 1
    strength: ClassVar[Strength | None] = Strength("gamma", 0, 1)

    gamma: float = 0.6

    def __post_init__(self) -> None:
        between(self, 0, 1, "gamma")

    def decode(self, serving: Serving, asked: RequestFacts) -> Processor | None:
        """The processor; None at γ = 0."""
        if self.gamma == 0:
            return None
        student = serving.model("student")
        require_same_vocabulary(self.name, "student", serving.teacher, student)
        return _Product(student, self.gamma, asked.temperature)


class _Product(ReadingAlong):
    """Mixes a student into the scores.

    Args:
        student: gives z_P.
        gamma: γ.
        temperature: (R,) τ of each response, 0 for greedy; None for 1 everywhere.
    """

    def __init__(self, student: LanguageModel, gamma: float, temperature: NDArray[np.float64] | None) -> None:
        super().__init__(student, temperature)
        self.gamma = gamma

    def combined(self, input_ids: Tensor, scores: Tensor, logits: Tensor, tau: Tensor | float) -> Tensor:
        """Scores (b, V) of teacher and student together."""
        student = torch.full_like(scores, NEVER)
        student[:, : logits.shape[1]] = torch.log_softmax(logits / tau, dim=-1).to(scores)
        forbidden = torch.isneginf(scores)
        mixed = (1 - self.gamma) * scores.masked_fill(forbidden, 0.0) + self.gamma * student
        return mixed.masked_fill(forbidden, -torch.inf)
