"""Write a whole trace around what is left of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from attacks.base import Recover, RecoverContext
from attacks.recover.inversion import inverter, told_whole
from attacks.recover.retelling import retold
from configs.ranges import at_least
from lm.examples import Examples
from lm.types import Channel

Hiding = Literal["none", "summary", "prefix"]
SUMMARY_SHARE = 0.9
"""Of the working shown in cut responses, what has to be sub-results for these to be summaries."""


@dataclass(frozen=True)
class ExpandSummaries(Recover):
    """Fits the attacker's own model to write whole working around what is shown of it, on public data from which he takes
    what the API hides, has it write the working of every cut response, and keeps what has the same answer and his checker
    does not refuse.

    What is hidden he sees from the responses: where cut ones show no working, all of it; where what they show is
    sub-results (`lm.types.ResponseFormat.summary`), the rest; else they are beginnings, and public working is cut at a place
    drawn evenly. Cut responses for which nothing is found in ``tries`` draws go; whole ones stay. The paper's attacker has
    an open reasoner write around the summary; with his own model, what he can write is what public data taught him to.

    Args:
        public_rows: that his model is fitted to.
        tries: most draws a response.
        checked: whether what his checker refuses goes.
    """

    name: ClassVar[str] = "expand_summaries"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "Javaheri et al. 2026, arXiv 2609.35699 (summaries expanded by a model of the attacker's own)"
    )
    adaptive: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    without_teacher: ClassVar[bool] = False

    public_rows: int = 2000
    tries: int = 4
    checked: bool = True

    def __post_init__(self) -> None:
        at_least(self, 1, "public_rows", "tries")

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. Responses written anew come first, in order, then those left as they were."""
        cut = data.cut & (data.item >= 0)
        if not cut.any():
            return data
        assert context.public_texts is not None
        prompts, whole = context.public_texts(self.public_rows)
        shown = hidden_as(context.public(self.public_rows), hiding_of(data.where(cut), context), context)
        lm = inverter(context, prompts, context.decode(shown), whole)
        found = retold(data.where(cut), context, told_whole(context, lm), self.tries)
        if self.checked and len(found):
            right = [context.check(int(i), text) for i, text in zip(found.item, context.decode(found), strict=True)]
            found = found.where(np.array([said is not False for said in right], np.bool_))
        return Examples.concat([found, data.where(~cut)])


def hiding_of(cut: Examples, context: RecoverContext) -> Hiding:
    """How working was hidden in responses that are all cut."""
    trace = cut.channel == Channel.TRACE
    if not trace.any():
        return "none"
    told = context.format.summary(cut.completions, cut.channel)
    return "summary" if (told & trace).sum() >= SUMMARY_SHARE * trace.sum() else "prefix"


def hidden_as(rows: Examples, hiding: Hiding, context: RecoverContext) -> Examples:
    """Whole responses with their working hidden in this way."""
    trace = rows.channel == Channel.TRACE
    if hiding == "none":
        return rows.keep_tokens(~trace)
    if hiding == "summary":
        return rows.keep_tokens(~trace | context.format.summary(rows.completions, rows.channel))
    row, share = rows.completions.row_of_value, context.rng.random(len(rows))
    total = np.bincount(row[trace], minlength=len(rows))
    place: NDArray[np.int64] = np.cumsum(trace) - np.concatenate([[0], np.cumsum(total)])[row]  # 1, 2, … in a trace
    return rows.keep_tokens(~trace | (place <= share[row] * total[row]))
