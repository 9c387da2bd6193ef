"""Round the sold probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from configs.errors import require
from defenses.base import Defense, ReleaseContext
from defenses.release.listing import listing_of, with_probs
from defenses.strength import Strength
from teacher.api.schema import Responses


@dataclass(frozen=True)
class Rounding(Defense):
    """Rounds every sold probability (not its logarithm) to a number of decimals.

    To the nearest multiple of 10^-digits. Where a position's rounded values sum to more than 1, those rounded up the
    furthest are rounded down instead until they do not, so what is sold stays a sub-distribution. A listed token that
    rounds to 0 is no longer listed; a drawn one has logprob -inf.

    Args:
        digits: decimals kept, 1 to 6.
    """

    name: ClassVar[str] = "rounding"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Tramèr et al., USENIX Security 2016, section 7 (rounding confidences)"
    checked: ClassVar[str] = "decimal rounding; sums of full distributions"
    needs: ClassVar[tuple[str, ...]] = ("top_logprobs",)
    strength: ClassVar[Strength | None] = Strength("digits", 6, 1)

    digits: int

    def __post_init__(self) -> None:
        require(1 <= self.digits <= 6, "digits", self.digits, "must lie in 1..6")

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Round what is told of each token."""
        listing = listing_of(responses)
        scaled = listing.probs * 10**self.digits
        units = np.rint(scaled)
        excess = np.clip(units.sum(1, keepdims=True) - 10**self.digits, 0, None)
        place = np.argsort(np.argsort(scaled - units, axis=1, kind="stable"), axis=1)  # 0: rounded up the furthest
        return with_probs(responses, listing.ids, (units - (place < excess)) / 10**self.digits)
