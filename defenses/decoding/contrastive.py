"""Contrastive decoding turned to defense: the teacher says what it finds likelier than a second model does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from configs.ranges import at_least, between
from defenses.base import Defense, RequestFacts, Serving
from defenses.decoding.second_reader import ReadingAlong, require_same_vocabulary
from defenses.strength import Strength
from lm.later import torch
from teacher.api.hooks import MODELS

if TYPE_CHECKING:
    from torch import Tensor

    from lm.language_model import LanguageModel
    from lm.types import Processor

NEVER = -1e9
"""Score of a token that is not plausible; finite, so that nothing becomes NaN."""


@dataclass(frozen=True)
class Contrastive(Defense):
    """Samples from softmax([z_T − γ z_P] / τ) over the plausible tokens: away from what a student would say anyway.

    Plausible are the tokens with p_T(x) ≥ α max p_T (V_head of the paper, of the teacher at temperature 1 whatever the
    client asks for); all others are not said. Among them those gain that the second model P finds unlikely, by −γ log p_P
    each, and those lose that P is sure of. Where one token alone is plausible nothing moves: what the teacher is certain of
    it still says. That is the opposite of a product of experts, which takes most from what the teacher finds likelier than
    P does; the two in one stack mix. In the paper this makes text better, with a far smaller P as the amateur. As a defense
    it gives a student of the teacher's data tokens far from its own distribution, and takes the easy ones from it.

    γ = 0 is no defense at all: neither second model nor plausibility. A γ just above it already drops what is not
    plausible, which α = 0 leaves in. P runs one forward pass a token, keys and values cached; τ is the client's temperature
    (1 where it is greedy, of which the largest score is taken). Tokens that an earlier defense forbids (−∞) stay forbidden;
    those beyond the shared vocabulary, which no text contains, are not said.

    Args:
        gamma: γ, at least 0; the paper's objective has 1.
        alpha: α, in [0, 1]; the paper has 0.1.
        against: P, "proxy", the public base model of students, or "student", that model distilled by the provider.

    Raises:
        ConfigError: on decoding, when teacher and P have different vocabularies.
    """

    name: ClassVar[str] = "contrastive"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Li et al., ACL 2023, arXiv 2210.15097, equations 1 to 3, turned to defense"
    checked: ClassVar[str] = "the two models' softmax over plausible tokens, step by step"
    passes: ClassVar[float] = 1
    strength: ClassVar[Strength | None] = Strength("gamma", 0, 1)

    gamma: float
    alpha: float = 0.1
    against: str = "proxy"

    def __post_init__(self) -> None:
        at_least(self, 0, "gamma")
        between(self, 0, 1, "alpha")
        if self.against not in MODELS:
            raise ConfigError("against", self.against, "is not a model that a provider has", MODELS)
        object.__setattr__(self, "uses", (self.against,))

    def decode(self, serving: Serving, asked: RequestFacts) -> Processor | None:
        """The processor; None at γ = 0."""
        if self.gamma == 0:
            return None
        second = serving.model(self.against)
        require_same_vocabulary(self.name, self.against, serving.teacher, second)
        return _Contrast(second, self.gamma, self.alpha, asked.temperature)


class _Contrast(ReadingAlong):
    """Takes a second model's logits from the scores.

    Args:
        second: gives z_P.
        gamma: γ.
        alpha: α.
        temperature: (R,) τ of each response, 0 for greedy; None for 1 everywhere.
    """

    def __init__(
        self, second: LanguageModel, gamma: float, alpha: float, temperature: NDArray[np.float64] | None
    ) -> None:
        super().__init__(second, temperature)
        self.gamma, self.least = gamma, math.log(alpha) if alpha > 0 else -math.inf

    def combined(self, input_ids: Tensor, scores: Tensor, logits: Tensor, tau: Tensor | float) -> Tensor:
        """Scores (b, V): of plausible tokens their contrast, of all others `NEVER`."""
        ours, theirs = scores[:, : logits.shape[1]], torch.log_softmax(logits / tau, dim=-1).to(scores)
        plausible = (ours - ours.amax(1, keepdim=True)) * tau >= self.least
        changed = torch.full_like(scores, NEVER)
        changed[:, : logits.shape[1]] = torch.where(plausible, ours - self.gamma * theirs, NEVER)
        return changed.masked_fill(torch.isneginf(scores), -torch.inf)
