"""Gaussian noise on the sold log-probabilities, drawn anew or the same for the same question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from defenses.base import Defense, ReleaseContext
from defenses.keyed import normals, prefix_hashes, row_hashes, secret_word
from defenses.release.listing import Listing, listing_of, with_probs
from defenses.strength import Strength
from lm.randomness import mixed
from teacher.api.schema import Responses


@dataclass(frozen=True)
class GaussianNoise(Defense):
    """Adds Gaussian noise to the sold logprobs, fresh at every query or cached so that repeating one gains nothing.

    With ξ standard normal, independent over tokens, and r the mass of all tokens not told about a position:
    p'_i = p_i e^{σξ_i} / (r + Σ_j p_j e^{σξ_j}) over the tokens told. So what is sold stays a sub-distribution, the
    log-odds log(p'_i / r') are those of p plus zero-mean noise of standard deviation σ, and means of them over n fresh
    answers err by σ/√n (logprobs themselves carry the normaliser's bias, of order σ²). Lists are sorted anew, so the
    first need not be the true argmax.

    Cached noise is a keyed hash of (prompt, visible response before the token, token id): the same question has the
    same noise in every batch, account and run. A prefill is not part of the hash.

    Args:
        sigma: σ, nats, in (0, 20].
        cached: whether noise is a function of the question.
        key: the provider's secret for cached noise.
    """

    name: ClassVar[str] = "gaussian_noise"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "logit noise: Carlini et al., arXiv 2403.06634; cached against fresh: statistics"
    checked: ClassVar[str] = "its stated variance; the 1/√n law"
    needs: ClassVar[tuple[str, ...]] = ("top_logprobs",)
    strength: ClassVar[Strength | None] = Strength("sigma", 0, 20)

    sigma: float
    cached: bool = False
    key: int = 0

    def __post_init__(self) -> None:
        require(0 < self.sigma <= 20, "sigma", self.sigma, "must lie in (0, 20]")

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Perturb what is told of each token."""
        listing = listing_of(responses)
        if self.cached:
            noise = self._cached(responses, context, listing)
        else:
            noise = context.rng.standard_normal(listing.probs.shape)
        raised = listing.probs * np.exp(self.sigma * noise)
        total = raised.sum(1, keepdims=True) + listing.rest[:, None]
        return with_probs(responses, listing.ids, raised / total)

    def _cached(self, responses: Responses, context: ReleaseContext, listing: Listing) -> NDArray[np.float64]:
        """(N, k + 1) standard normal noise, a function of the question alone."""
        asked, which = np.unique(context.requests.prompt[responses.request], return_inverse=True)
        prompt = row_hashes(context.prompts.tokens.take(asked))[which]
        prefix = mixed(prefix_hashes(responses.tokens) ^ secret_word(self.key))
        place = mixed(prompt[responses.tokens.row_of_value] ^ prefix)
        return normals(mixed(place[:, None] ^ mixed(listing.ids.astype(np.uint64))))
