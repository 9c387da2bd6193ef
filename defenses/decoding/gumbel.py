"""The Gumbel-max watermark: the dice are loaded with a key and not the distribution, and a student that learnt from the text
is caught at saying what the key would have thrown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.ranges import at_least, between
from defenses.base import Evidence, RequestFacts, Serving
from defenses.decoding.marks import context_words, last, padding, texts_of, token_words
from defenses.decoding.watermark import Watermark
from defenses.strength import Strength
from lm.later import torch
from lm.randomness import chosen, pair_uniforms

if TYPE_CHECKING:
    from torch import Tensor

    from defenses.keyed import Words
    from lm.types import Processor

IS_KEYED = np.zeros((1, 1), np.uint64)
"""Stands where a token's hash would, and is that of no token."""


@dataclass(frozen=True)
class Gumbel(Watermark):
    """Says the token x with the largest ξ(c, x)^(1/p(x)): a draw from p over all keys, and always the same under one.

    ξ(c, x) in (0, 1) is a keyed hash of the context c, the last ``width`` tokens, and of x; p is what would be sampled from
    otherwise. Over keys the token has exactly the distribution p, so no single token tells of the watermark and nobody
    loses anything: sold logprobs and scored completions are those without it. What is lost is variety: a context that comes
    again is answered the same way where p is the same, in the n responses to one request, at each visit, and in the
    repetitions of one text (TextSeal brings it back with a second key, here ``share`` below 1 does). Greedy responses are
    not drawn and bear no mark. The client's seed, and one that another defense puts in its place, matters in contexts alone
    that are not keyed.

    `detect`: of each different pair in keyed contexts −log(1 − ξ), which is an exponential number for a text that knows
    nothing of the key: p = P(Gamma(n, 1) ≥ Σ), exactly; z = (Σ − n)/√n.

    Args:
        share: of contexts in which the draw is keyed, chosen by the key too, in [0, 1]; in all others it is the usual one,
            and they are not looked at. 0 changes nothing. This is the strength: distortion there is none, and a shorter
            ``width`` is easier to learn and to find out.
        width: tokens of context, at least 1.
        key: chooses ξ, with the provider's secret.
        tokens: most tokens of each answer that `detect` asks for.
    """

    name: ClassVar[str] = "gumbel"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Aaronson and Kirchner 2022; Sander et al., TextSeal, arXiv 2605.12456 (detection)"
    checked: ClassVar[str] = (
        "chi-square: over keys the model's own distribution; the Gamma law, p uniform without a mark"
    )
    strength: ClassVar[Strength | None] = Strength("share", 0, 1)
    chooses_tokens: ClassVar[bool] = True

    share: float = 1.0
    width: int = 2
    key: int = 0
    tokens: int = 64

    def __post_init__(self) -> None:
        between(self, 0, 1, "share")
        at_least(self, 1, "width", "tokens")

    def decode(self, serving: Serving, asked: RequestFacts) -> Processor | None:
        """The processor; None where no context is keyed."""
        return None if self.share == 0 else _KeyedDraw(self, serving.seed, padding(serving.teacher))

    def finding(self, context: NDArray[np.int64], tokens: NDArray[np.int64], secret: int) -> Evidence | None:
        """The Gamma test; None where no context is keyed."""
        from scipy.stats import gamma

        words = context_words(context, self.key, secret)
        keyed = self.keyed(words)
        n = int(keyed.sum())
        if n == 0:
            return None
        xi = pair_uniforms(words[keyed], token_words(tokens[keyed, None]))
        total = float(-np.log1p(-xi).sum())
        return Evidence(float(gamma.sf(total, n)), (total - n) / n**0.5, n)

    def keyed(self, words: Words) -> NDArray[np.bool_]:
        """(B,) in which contexts, by their hashes, the draw is keyed."""
        return np.ones(len(words), np.bool_) if self.share == 1 else chosen(words, IS_KEYED, self.share)[:, 0]


class _KeyedDraw:
    """Leaves the scores and chooses the tokens.

    Args:
        mark: which contexts are keyed, and how.
        secret: the provider's.
        pad: token that fills rows on the left.
    """

    def __init__(self, mark: Gumbel, secret: int, pad: int) -> None:
        self.mark, self.secret, self.pad = mark, secret, pad

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores (B, V) as they are."""
        return scores

    def draw(self, input_ids: Tensor, scores: Tensor, drawn: Tensor) -> Tensor:
        """Tokens (B,): the largest log p − log(−log ξ) in keyed contexts, those drawn in all others."""
        words = context_words(last(texts_of(input_ids, self.pad), self.mark.width), self.mark.key, self.secret)
        keyed = self.mark.keyed(words)
        rows = np.flatnonzero(keyed)
        if not len(rows):
            return drawn
        xi = pair_uniforms(words[rows], token_words(np.arange(scores.shape[1])))
        here = torch.from_numpy(rows).to(scores.device)
        noise = torch.from_numpy(-np.log(-np.log(xi))).to(scores.device)
        said = drawn.clone()
        said[here] = (scores[here].double() + noise).argmax(1)
        return said
