"""A product of experts: the teacher answers together with a student of the provider's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from configs.ranges import between
from defenses.base import Defense, RequestFacts, Serving
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
    uses: ClassVar[tuple[str, ...]] = ("student",)
    strength: ClassVar[Strength | None] = Strength("gamma", 0, 1)

    gamma: float = 0.6

    def __post_init__(self) -> None:
        between(self, 0, 1, "gamma")

    def decode(self, serving: Serving, asked: RequestFacts) -> Processor | None:
        """The processor; None at γ = 0."""
        if self.gamma == 0:
            return None
        student = serving.model("student")
        _require_same_vocabulary(serving.teacher, student)
        return _Product(student, self.gamma, asked.temperature)


class _Product:
    """Mixes a student into the scores.

    Args:
        student: gives z_P.
        gamma: γ.
        temperature: (R,) τ of each response, 0 for greedy; None for 1 everywhere.
    """

    def __init__(self, student: LanguageModel, gamma: float, temperature: NDArray[np.float64] | None) -> None:
        from lm.alongside import Alongside

        self.width, self.gamma, self.temperature = len(student.vocab), gamma, temperature
        self._reader = Alongside(student)
        self._tau: Tensor | None = None
        self._lines: NDArray[np.int64] | None = None

    def begin(self, rows: NDArray[np.int64]) -> None:
        """The next batch holds these rows (B,) of the responses."""
        self._lines = None
        if self.temperature is not None:
            tau = self.temperature[rows]
            self._tau = torch.from_numpy(np.where(tau > 0, tau, 1.0))[:, None]

    def step(self, lines: NDArray[np.int64]) -> None:
        """In the next call only these lines (b,) of the batch still grow."""
        self._lines = lines

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V) of teacher and student together."""
        lines = np.arange(len(input_ids)) if self._lines is None else self._lines
        if not len(lines):
            return scores
        here = torch.from_numpy(lines).to(scores.device)
        teacher, logits = scores[here], self._reader.logits(input_ids, lines)[0].float().to(scores.device)
        shared = min(self.width, logits.shape[1], scores.shape[1])
        student = torch.full_like(teacher, NEVER)
        tau = 1.0 if self._tau is None else self._tau.to(scores)[here]
        student[:, :shared] = torch.log_softmax(logits[:, :shared] / tau, dim=-1).to(scores)
        forbidden = torch.isneginf(teacher)
        mixed = (1 - self.gamma) * teacher.masked_fill(forbidden, 0.0) + self.gamma * student
        changed = scores.clone()
        changed[here] = mixed.masked_fill(forbidden, -torch.inf)
        return changed


def _require_same_vocabulary(teacher: LanguageModel, student: LanguageModel) -> None:
    ours, theirs = teacher.vocab, student.vocab
    if ours != theirs:
        pairs = enumerate(zip(ours, theirs, strict=False))
        first = next((i for i, (a, b) in pairs if a != b), min(len(ours), len(theirs)))
        raise ConfigError(
            "defense.product_of_experts",
            f"{len(theirs)} tokens in the student",
            f"needs a student with the teacher's tokenizer ({len(ours)} tokens); they differ from id {first}",
        )
