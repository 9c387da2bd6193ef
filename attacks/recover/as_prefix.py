"""A truncated trace is the beginning of a trace, not a whole one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from attacks.base import Recover, RecoverContext
from configs.errors import require
from lm.examples import Examples
from lm.types import Channel


@dataclass(frozen=True)
class AsPrefix(Recover):
    """Trains on the visible part of a cut trace as a prefix, without forcing the answer or the stop after it.

    Of a cut row, what stands up to its last visible trace token is kept, calls and tool results included, and the answer
    and the end of sequence after the gap go: imitating them would teach the student to stop short. Where no trace is
    left, calls are (they too come before the gap); rows with neither are dropped. So that the student does not forget
    how to go on, rows of public data are mixed in, unless no row was cut: then the data come back as they were.

    It assumes that the end of the trace was cut. Where sub-results or the last part are shown instead (a summary,
    ``trace_truncated`` with ``side: last``), what it keeps is no prefix, and plain imitation may do better.

    Args:
        public_rows: rows of public data mixed in.
    """

    name: ClassVar[str] = "as_prefix"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "MoatBench; the visible part of a truncated trace as in DistillGuard, arXiv 2603.07835"
    adaptive: ClassVar[bool] = True
    checks: ClassVar[bool] = False

    public_rows: int = 500

    def __post_init__(self) -> None:
        require(self.public_rows >= 0, "public_rows", self.public_rows, "must be at least 0")

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. Public rows come last, with ``item`` -1."""
        if not data.cut.any():
            return data
        end = _after_last(data, Channel.TRACE)
        end = np.where(end > 0, end, _after_last(data, Channel.CALL))
        row, place = data.completions.row_of_value, data.completions.position
        after_gap = data.cut[row] & ((place >= end[row]) | (data.channel == Channel.ANSWER))
        kept = data.keep_tokens(~after_gap).where(~data.cut | (end > 0))
        if self.public_rows == 0 or not kept.cut.any():
            return kept
        return Examples.concat([kept, context.public(self.public_rows)])


def _after_last(data: Examples, channel: Channel) -> NDArray[np.int64]:
    """(B,) the place after each row's last token of a channel; 0 where it has none."""
    end = np.zeros(len(data), np.int64)
    of = data.channel == channel
    np.maximum.at(end, data.completions.row_of_value[of], data.completions.position[of] + 1)
    return end
