"""Keep the responses whose working states the most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from attacks.base import Recover, RecoverContext
from attacks.recover.comparable import families, members
from configs.errors import ConfigError
from configs.ranges import at_least, between
from lm.examples import Examples

AMONG = ("length", "prompt")


@dataclass(frozen=True)
class Explicit(Recover):
    """Keeps rows by how many sub-results they state, without a checker: a working that leaves steps out is hard to learn
    from even where every word of it is true, and a defense that prefers such workings leaves their answers right.

    How many a response should state the attacker cannot know, but prompts of equal length ask for about as much. So rows are
    compared among those of one family whose prompts have as many tokens, and the measure is what the most explicit of them
    reach: the largest count that at least a share ``reached`` of the group comes up to, so that a few responses that ramble
    do not set it. Kept is what states ``least`` times as much. Where all state the same, as where workings are hidden or
    there are none, all stay. Lengths with fewer than ``group`` rows are put together with the next.

    With ``among: prompt`` the draws of one prompt are compared instead, and the one that states most is kept, of equal ones
    the first.

    A sub-result is a run of tokens that a summary would keep (`ResponseFormat.summary`). Rows from elsewhere stay.

    Args:
        among: "length" or "prompt", see above.
        least: share of the measure that a row has to state, in [0, 1]; for "length".
        reached: share of a group that comes up to the measure, in [0, 1]; for "length".
        group: fewest rows that are compared; for "length".
    """

    name: ClassVar[str] = "explicit"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "MoatBench; among draws: Fu et al. 2023, arXiv 2210.00720 (prefer workings with more steps)"
    adaptive: ClassVar[bool] = True
    checks: ClassVar[bool] = False

    among: Literal["length", "prompt"] = "length"
    least: float = 1.0
    reached: float = 0.1
    group: int = 20

    def __post_init__(self) -> None:
        if self.among not in AMONG:
            raise ConfigError("among", self.among, "is nothing that rows are compared among", AMONG)
        between(self, 0, 1, "least", "reached")
        at_least(self, 1, "group")

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. Order is kept."""
        count = stated(data, context)
        keep = data.item < 0
        if self.among == "prompt":
            for rows in members(data.item):
                keep[rows[np.argmax(count[rows])]] = True
            return data.where(keep)
        for family in members(families(data, context)):
            for rows in self._alike(family, data.prompts.lengths[family]):
                falling = np.sort(count[rows])[::-1]
                reach = max(1, int(np.ceil(self.reached * len(rows) - 1e-9)))
                keep[rows] = count[rows] >= self.least * falling[reach - 1]
        return data.where(keep)

    def _alike(self, rows: NDArray[np.int64], length: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """The rows in groups of equal lengths, short groups put together with the next, at the end with the one before."""
        groups: list[NDArray[np.int64]] = []
        pending = rows[:0]
        for equal in members(length):
            pending = np.concatenate([pending, rows[equal]])
            if len(pending) >= self.group:
                groups.append(pending)
                pending = rows[:0]
        return [*groups[:-1], np.concatenate([*groups[-1:], pending])]


def stated(data: Examples, context: RecoverContext) -> NDArray[np.int64]:
    """(B,) how many sub-results each row states: runs of tokens that a summary keeps."""
    kept = context.format.summary(data.completions, data.channel)
    follows = np.concatenate([[False], kept[:-1]])[: len(kept)] & (data.completions.position > 0)
    begins = kept & ~follows
    return np.bincount(data.completions.row_of_value[begins], minlength=len(data)).astype(np.int64)
