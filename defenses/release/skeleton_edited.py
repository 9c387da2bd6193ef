"""Answer first, then edit: the trace is rebuilt around a coarser skeleton of its sub-results, the answer is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from defenses.base import ReleaseContext
from defenses.release.retold import Retold
from defenses.release.rewriter import Desk
from defenses.release.rewriting_grammar import parsed
from defenses.release.wording import worded_anew
from defenses.strength import Strength
from lm.ragged import Ragged
from teacher.api.schema import Responses

INSTRUCTION = (
    "Below is the reasoning behind an answer that is settled. List its intermediate results for yourself; merge about "
    "{percent}% of them with the one that follows, so that several steps become one; then write the reasoning anew around "
    "the results that are left, in words of your own, without changing any fact or number. Do not state the final answer. "
    "Write the reasoning and nothing else."
)


@dataclass(frozen=True)
class SkeletonEdited(Retold):
    """Merges neighbouring steps of a trace and words it anew around the sub-results that are left (SGRE).

    The skeleton of a trace is its sub-results (`lm.types.ResponseFormat.summary`). By the grammar, each of them but the last
    is left out with probability ``rate``; its step's derivation goes to the next one that is shown, which then says several
    steps at once. A trace of which any was left out is worded anew: shown statements begin with their derivation, without a
    state said again or a word of confirmation, and words that announce a result become others that say the same
    (`ResponseFormat.synonyms`). One number is drawn for each sub-result, so a larger rate leaves out a superset. Several
    responses of one request are edited each for itself.

    Args:
        rate: share of the sub-results that are merged into the next, in [0, 1]; 0 changes nothing.
        rewriter: see `Retold`.
        instruction: see `Retold`; ``{percent}`` stands for the rate.
    """

    name: ClassVar[str] = "skeleton_edited"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "SGRE, arXiv 2607.20440"
    checked: ClassVar[str] = "statements written out by hand; answers token for token (hypothesis)"
    strength: ClassVar[Strength | None] = Strength("rate", 0, 1)

    rate: float
    instruction: str = field(default=INSTRUCTION, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.rate <= 1, "rate", self.rate, "must lie in [0, 1]")

    def arranged(self, responses: Responses, desk: Desk) -> Ragged:
        """See `Retold.arranged`."""
        parse = parsed(responses.tokens, responses.channel, desk.format)
        draws = desk.rng.random((len(responses), 1 + int(parse.back.max(initial=0))))
        merged = parse.body & (parse.back > 0) & (draws[parse.row, np.maximum(parse.back, 0)] < self.rate)
        edited = parse.body & (np.bincount(parse.row[merged], minlength=len(responses)) > 0)[parse.row]
        kept = ~edited | np.where(merged, parse.derives, ~parse.opens)
        new = worded_anew(responses.tokens.values, edited & ~parse.derives, desk.format, desk.rng)
        return Ragged(new, responses.tokens.offsets).keep(kept)

    def chosen(self, responses: Responses, context: ReleaseContext) -> NDArray[np.bool_]:
        """See `Retold.chosen`: none at rate 0."""
        return np.full(len(responses), self.rate > 0)

    def told(self) -> str:
        """See `Retold.told`."""
        return self.instruction.replace("{percent}", f"{100 * self.rate:.0f}")
