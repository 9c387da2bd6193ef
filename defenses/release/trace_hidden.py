"""Hide the working and return the answer. Knows nothing of how the trace is worded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from configs.errors import require
from defenses.base import Defense, ReleaseContext
from defenses.strength import Strength
from lm.types import Channel
from teacher.api.schema import Responses


@dataclass(frozen=True)
class TraceHidden(Defense):
    """Hides the whole trace of a share of the queries; calls and answers stay visible.

    Each request draws one uniform number, anew each time it is sent, and is hidden where that number is below
    ``fraction``: all ``n`` responses of a request share its fate, a larger fraction hides a superset of a smaller one
    under the same generator, and whoever repeats a prompt may see its trace the second time. Hidden tokens are billed.

    Args:
        fraction: share of queries whose trace is hidden, in (0, 1].
    """

    name: ClassVar[str] = "trace_hidden"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "DistillGuard, arXiv 2603.07835; provider practice"
    checked: ClassVar[str] = "counting kept tokens by channel"
    needs: ClassVar[tuple[str, ...]] = ("trace",)
    strength: ClassVar[Strength | None] = Strength("fraction", 0, 1)

    fraction: float = 1.0

    def __post_init__(self) -> None:
        require(0 < self.fraction <= 1, "fraction", self.fraction, "must lie in (0, 1]")

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Drop the trace tokens of the chosen requests."""
        hidden = context.rng.random(len(context.requests)) < self.fraction
        of_token = hidden[responses.request][responses.tokens.row_of_value]
        return responses.keep_tokens(~(of_token & (responses.channel == Channel.TRACE)))
