"""Show the first and the last tokens of each trace, and hide what lies between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from configs.errors import require
from defenses.base import Defense, ReleaseContext
from defenses.strength import Strength
from lm.types import Channel
from teacher.api.schema import Responses


@dataclass(frozen=True)
class TraceEnds(Defense):
    """Shows ``tokens`` tokens at each end of a trace; calls and answers stay visible, hidden tokens are billed.

    Args:
        tokens: shown at each end; a trace of at most twice as many is shown as a whole.
    """

    name: ClassVar[str] = "trace_ends"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "community/trace_ends"
    checked: ClassVar[str] = "counting shown tokens, in tests/test_community.py"
    needs: ClassVar[tuple[str, ...]] = ("trace",)
    strength: ClassVar[Strength | None] = Strength("tokens", 64, 0)

    tokens: int = 3

    def __post_init__(self) -> None:
        require(self.tokens >= 0, "tokens", self.tokens, "must be at least 0")

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Drop trace tokens that are far from both ends."""
        trace = responses.channel == Channel.TRACE
        row = responses.tokens.row_of_value
        total = np.bincount(row[trace], minlength=len(responses))
        before = np.concatenate([[0], np.cumsum(total)[:-1]]) if len(total) else total
        place = np.cumsum(trace) - 1 - before[row]  # of a trace token among those of its row
        shown = (place < self.tokens) | (place >= total[row] - self.tokens)
        return responses.keep_tokens(~trace | shown)
