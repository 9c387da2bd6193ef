"""Show a fraction of the working. Knows nothing of how the trace is worded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from configs.errors import require
from defenses.base import Defense, ReleaseContext
from defenses.strength import Strength
from lm.types import Channel
from teacher.api.schema import Responses


@dataclass(frozen=True)
class TraceTruncated(Defense):
    """Shows only the first or the last fraction of each trace; calls and answers stay visible.

    A trace of n tokens keeps round(keep·n) of them, halves rounded up, wherever calls interrupt it. Hidden tokens are
    billed.

    Args:
        keep: share of each trace that is shown, in (0, 1).
        side: which end is shown, ``first`` or ``last``.
    """

    name: ClassVar[str] = "trace_truncated"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "DistillGuard, arXiv 2603.07835"
    checked: ClassVar[str] = "counting kept tokens by channel (hypothesis)"
    needs: ClassVar[tuple[str, ...]] = ("trace",)
    strength: ClassVar[Strength | None] = Strength("keep", 1, 0.01)

    keep: float
    side: Literal["first", "last"] = "first"

    def __post_init__(self) -> None:
        require(0 < self.keep < 1, "keep", self.keep, "must lie in (0, 1)")
        require(self.side in ("first", "last"), "side", self.side, "must be 'first' or 'last'")

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Drop trace tokens beyond the shown fraction."""
        trace = responses.channel == Channel.TRACE
        row = responses.tokens.row_of_value
        total = np.bincount(row[trace], minlength=len(responses))
        before = np.concatenate([[0], np.cumsum(total)[:-1]]) if len(total) else total
        place = np.cumsum(trace) - 1 - before[row]  # of a trace token among those of its row
        shown = np.floor(self.keep * total + 0.5).astype(np.int64)
        inside = place < shown[row] if self.side == "first" else place >= (total - shown)[row]
        return responses.keep_tokens(~trace | inside)
