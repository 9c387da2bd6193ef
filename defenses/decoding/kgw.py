"""The green-list watermark: some tokens are made a little more likely after each context, and a student that learnt from the
text says them more often too."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from defenses.base import Evidence, RequestFacts, Serving
from defenses.decoding.marks import green_tokens, last, padding, texts_of
from defenses.decoding.watermark import Watermark
from defenses.strength import Strength
from lm.later import torch

if TYPE_CHECKING:
    from torch import Tensor

    from lm.types import Processor


@dataclass(frozen=True)
class KGW(Watermark):
    """Adds δ to the scores of green tokens; a suspect that says more green tokens than chance learnt from the teacher.

    Token x is green after the context c of the last ``width`` tokens where a keyed hash of (c, x) is below γ: each token for
    itself with probability γ, so a green list has about γ·V tokens (exactly γ·V in the paper). Different pairs (c, x) are
    then independent, and under a key that a text knows nothing of the number of green ones among n different pairs is
    Binomial(n, γ), exactly. Padding is no context: where a text is shorter than ``width``, nothing stands there. The list
    depends on ``key`` and on the provider's own secret (`Serving.seed`), so cells of another seed have other lists.

    Not transformers' ``WatermarkLogitsProcessor``: it seeds a generator and permutes the vocabulary for one row after the
    other, its ``lefthash`` looks at the last token alone whatever ``context_width`` says, and there a pair's colour costs a
    whole permutation.

    `detect`: k green of n different pairs: p = P(Binomial(n, γ) ≥ k), z = (k − γn)/√(γ(1−γ)n).

    Args:
        delta: δ in nats, at least 0; 0 changes nothing.
        gamma: γ, in (0, 1).
        width: tokens of context, at least 1.
        key: chooses the green lists, with the provider's secret.
        tokens: most tokens of each answer that `detect` asks for.
    """

    name: ClassVar[str] = "kgw"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Kirchenbauer et al., ICML 2023, algorithm 2; Sander et al., arXiv 2402.14904 (detection)"
    checked: ClassVar[str] = "the binomial test pair by pair; p uniform without a watermark"
    strength: ClassVar[Strength | None] = Strength("delta", 0, 6)

    delta: float
    gamma: float = 0.5
    width: int = 2
    key: int = 0
    tokens: int = 64

    def __post_init__(self) -> None:
        require(self.delta >= 0, "delta", self.delta, "must be at least 0")
        require(0 < self.gamma < 1, "gamma", self.gamma, "must lie between 0 and 1")
        require(self.width >= 1, "width", self.width, "must be at least 1")
        require(self.tokens >= 1, "tokens", self.tokens, "must be at least 1")

    @property
    def works_on_answers(self) -> bool:
        """See `Hooks.works_on_answers`: an engine can make its processor."""
        return True

    def decode(self, serving: Serving, asked: RequestFacts) -> Processor | None:
        """The processor; none at δ = 0."""
        if self.delta == 0:
            return None
        return GreenProcessor(self, serving.seed, padding(serving.teacher))

    def finding(self, context: NDArray[np.int64], tokens: NDArray[np.int64], secret: int) -> Evidence:
        """The binomial test; see the class."""
        from scipy.stats import binom

        n = len(tokens)
        k = int(self.green(context, tokens[:, None], secret).sum())
        z = (k - self.gamma * n) / (self.gamma * (1 - self.gamma) * n) ** 0.5
        return Evidence(float(binom.sf(k - 1, n, self.gamma)), z, n)

    def green(self, context: NDArray[np.integer], tokens: NDArray[np.integer], secret: int) -> NDArray[np.bool_]:
        """(B, X) which tokens, (B, X) or (X,), are green after contexts (B, width) (`marks.green_tokens`)."""
        return green_tokens(context, tokens, self.gamma, self.key, secret)


class GreenProcessor:
    """Adds δ to the scores of green tokens.

    Args:
        watermark: says which they are.
        secret: the provider's.
        pad: token that fills rows on the left.
    """

    def __init__(self, watermark: KGW, secret: int, pad: int) -> None:
        self.watermark, self.secret, self.pad = watermark, secret, pad

    def for_engine(self) -> dict[str, Any]:
        """See `lm.vllm_processors`."""
        return {"make": f"{__name__}:green_processor", "with": {**asdict(self.watermark), "secret": self.secret}}

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V) after the left-padded tokens (B, T)."""
        context = last(texts_of(input_ids, self.pad), self.watermark.width)
        green = self.watermark.green(context, np.arange(scores.shape[1]), self.secret)
        return scores + self.watermark.delta * torch.from_numpy(green).to(scores)


def green_processor(secret: int, pad: int, **fields: Any) -> GreenProcessor:
    """The processor of a watermark with these fields, where there is no model at hand."""
    return GreenProcessor(KGW(**fields), secret, pad)
