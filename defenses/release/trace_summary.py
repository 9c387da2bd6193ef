"""Show what the working found, not how. What a sub-result is, the response format knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from defenses.base import Defense, ReleaseContext
from lm.types import Channel
from teacher.api.schema import Responses


@dataclass(frozen=True)
class TraceSummary(Defense):
    """Shows only the sub-results of each trace, without their derivation; calls and answers stay visible.

    Which trace tokens are sub-results is `lm.types.ResponseFormat.summary`. Hidden tokens are billed.
    """

    name: ClassVar[str] = "trace_summary"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "DistillGuard, arXiv 2603.07835; provider practice"
    checked: ClassVar[str] = "counting kept tokens by channel"
    needs: ClassVar[tuple[str, ...]] = ("trace",)

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Drop trace tokens that are not sub-results."""
        kept = context.format.summary(responses.tokens, responses.channel)
        return responses.keep_tokens(kept | (responses.channel != Channel.TRACE))
