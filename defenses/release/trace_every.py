"""Show each n-th step of the working. What a step is, the response format knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from configs.ranges import at_least
from defenses.base import Defense, ReleaseContext
from defenses.release.rewriting_grammar import parsed
from defenses.strength import Strength
from lm.types import Channel
from teacher.api.schema import Responses


@dataclass(frozen=True)
class TraceEvery(Defense):
    """Shows each n-th step of every trace and hides the others; calls and answers stay visible.

    A step is the trace up to and including a sub-result (`lm.types.ResponseFormat.summary`). Steps are counted from the end,
    wherever calls interrupt the trace, so that the last sub-result stays: of s steps ⌈s/n⌉ are shown, each as the teacher
    said it. What comes after the last sub-result stays, and so does a trace without any. Hidden tokens are billed.

    Args:
        n: every which step is shown, at least 1; 1 shows all.
    """

    name: ClassVar[str] = "trace_every"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "DistillGuard, arXiv 2603.07835; provider practice"
    checked: ClassVar[str] = "steps counted one by one; answers token for token (hypothesis)"
    needs: ClassVar[tuple[str, ...]] = ("trace",)
    strength: ClassVar[Strength | None] = Strength("n", 1, 6)

    n: int

    def __post_init__(self) -> None:
        at_least(self, 1, "n")

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Drop the trace tokens of the other steps."""
        trace = responses.channel == Channel.TRACE
        parse = parsed(responses.tokens.keep(trace), responses.channel[trace], context.format)
        shown = np.ones(len(trace), np.bool_)
        shown[trace] = ~parse.body | (parse.back % self.n == 0)
        return responses.keep_tokens(shown)
