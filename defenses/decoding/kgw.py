"""The green-list watermark: some tokens are made a little more likely after each context, and a student that learnt from the
text says them more often too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from defenses.base import Defense, Detection, Evidence, RequestFacts, Serving
from defenses.keyed import Words, secret_word
from defenses.strength import Strength
from lm.later import torch
from lm.ragged import Ragged
from lm.randomness import chosen, mixed

if TYPE_CHECKING:
    from torch import Tensor

    from lm.types import Processor

NOTHING = -1
"""Stands in a context where the text has not begun."""


@dataclass(frozen=True)
class KGW(Defense):
    """Adds δ to the scores of green tokens; a suspect that says more green tokens than chance learnt from the teacher.

    Token x is green after the context c of the last ``width`` tokens where a keyed hash of (c, x) is below γ: each token for
    itself with probability γ, so a green list has about γ·V tokens (exactly γ·V in the paper). Different pairs (c, x) are
    then independent, and under a key that a text knows nothing of the number of green ones among n different pairs is
    Binomial(n, γ), exactly. Padding is no context: where a text is shorter than ``width``, nothing stands there. The list
    depends on ``key`` and on the provider's own secret (`Serving.seed`), so cells of another seed have other lists.

    Not transformers' ``WatermarkLogitsProcessor``: it seeds a generator and permutes the vocabulary for one row after the
    other, its ``lefthash`` looks at the last token alone whatever ``context_width`` says, and there a pair's colour costs a
    whole permutation.

    `detect` (Sander et al., a suspect that is only asked): it answers prompts in its own chat template at temperature 1.
    Each different (context, token) of the answers counts once, and none that stands in a prompt: the suspect repeats itself
    and its prompts, and repeats are no further evidence. k green of n: p = P(Binomial(n, γ) ≥ k), z = (k − γn)/√(γ(1−γ)n).
    The suspect calls no tools. Nothing is said of a suspect with other tokens than the teacher's.

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
    uses: ClassVar[tuple[str, ...]] = ()

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

    def decode(self, serving: Serving, asked: RequestFacts) -> Processor | None:
        """The processor; none at δ = 0."""
        if self.delta == 0:
            return None
        tokenizer = serving.teacher.tokenizer
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else int(serving.teacher.ends[0])
        return GreenProcessor(self, serving.seed, pad)

    def detect(self, context: Detection) -> Evidence | None:
        """See the class; None for another vocabulary, and where no pair is left to look at."""
        from lm.types import Sampling

        suspect = context.suspect
        if suspect.vocab != context.serving.teacher.vocab or not context.prompts:
            return None
        prompts = suspect.encode_prompts(context.prompts)
        room = self.tokens if suspect.positions is None else suspect.positions - int(prompts.lengths.max())
        if room < 1:
            return None
        seeds = context.rng.integers(0, 2**62, len(prompts))
        answers = suspect.generate(prompts, Sampling(max_tokens=min(self.tokens, room)), seeds).tokens
        return self.evidence(prompts, answers, context.serving.seed)

    def evidence(self, prompts: Ragged, answers: Ragged, secret: int) -> Evidence | None:
        """What R answers to R prompts show; None where no pair is left to look at."""
        from scipy.stats import binom

        texts = Ragged.of([np.concatenate(pair) for pair in zip(prompts, answers, strict=True)])
        said = texts.position >= prompts.lengths[texts.row_of_value]
        pairs = np.column_stack([contexts(texts, self.width), texts.values])
        different = distinct(pairs[said], but=pairs[~said])
        n = len(different)
        if n == 0:
            return None
        k = int(self.green(different[:, :-1], different[:, -1:], secret).sum())
        z = (k - self.gamma * n) / (self.gamma * (1 - self.gamma) * n) ** 0.5
        return Evidence(float(binom.sf(k - 1, n, self.gamma)), z, n)

    def green(self, context: NDArray[np.integer], tokens: NDArray[np.integer], secret: int) -> NDArray[np.bool_]:
        """Which tokens are green.

        Args:
            context: (B, width) the tokens before, `NOTHING` before the text begins.
            tokens: (B, X), or (X,) the same for all.
            secret: the provider's.

        Returns:
            (B, X).
        """
        word: Words = mixed(secret_word(self.key) ^ np.uint64(secret % 2**64))
        for column in context.T:  # `width` of them; order matters
            word = mixed(word ^ mixed((column.astype(np.int64) + 1).astype(np.uint64)))
        return chosen(word, np.atleast_2d(mixed(tokens.astype(np.uint64))), self.gamma)


class GreenProcessor:
    """Adds δ to the scores of green tokens.

    Args:
        watermark: says which they are.
        secret: the provider's.
        pad: token that fills rows on the left.
    """

    def __init__(self, watermark: KGW, secret: int, pad: int) -> None:
        self.watermark, self.secret, self.pad = watermark, secret, pad

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V) after the left-padded tokens (B, T)."""
        width = self.watermark.width
        ids = input_ids.cpu().numpy()
        begun = (ids != self.pad).cumsum(1) > 0
        last = np.where(begun, ids, NOTHING)[:, -width:]
        last = np.pad(last, ((0, 0), (width - last.shape[1], 0)), constant_values=NOTHING)
        green = self.watermark.green(last, np.arange(scores.shape[1]), self.secret)
        return scores + self.watermark.delta * torch.from_numpy(green).to(scores)


def contexts(texts: Ragged, width: int) -> NDArray[np.int64]:
    """(N, width) the tokens before each token of each text, in order; `NOTHING` before the text begins."""
    back = np.arange(width, 0, -1)
    at = np.arange(len(texts.values))[:, None] - back
    there = texts.position[:, None] >= back
    return np.where(there, texts.values[np.maximum(at, 0)], NOTHING)


def distinct(pairs: NDArray[np.int64], but: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each different row of (N, C) once, without those that are among the rows of ``but`` (M, C)."""
    rows, first = np.unique(np.concatenate([but, pairs]), axis=0, return_index=True)
    return rows[first >= len(but)]
