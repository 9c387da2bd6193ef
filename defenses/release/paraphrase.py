"""Say part of the working in other words that mean the same. Which words these are, the response format knows, or a language
model."""

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
    "Paraphrase the reasoning below: other words, other sentences, the same meaning, the same steps in the same order, the "
    "same numbers. Do not state the final answer. Write the paraphrase and nothing else."
)


@dataclass(frozen=True)
class Paraphrase(Retold):
    """Says a share α of the trace in other words, its meaning kept.

    By the grammar, a share α of the statements is drawn. In each of them, words that announce a result become others that
    say the same (`lm.types.ResponseFormat.synonyms`), and a state said again or a word of confirmation before the
    derivation is left out. In the mini world that is all there is to be said otherwise, and its teacher draws among these
    words too: what a student reads is distributed almost as before, so little is to be expected of it. One number is drawn
    for each statement: a larger α says a superset in other words. A model rewrites whole traces, of a share α of the
    responses.

    Args:
        alpha: α, in [0, 1]; 0 changes nothing.
        rewriter: see `Retold`.
        instruction: see `Retold`.
    """

    name: ClassVar[str] = "paraphrase"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "DistillGuard, arXiv 2603.07835"
    checked: ClassVar[str] = "statements stay true; stated share within its error; answers token for token (hypothesis)"
    strength: ClassVar[Strength | None] = Strength("alpha", 0, 1)
    prepared_from: ClassVar[tuple[str, ...] | None] = ("rewriter", "instruction")

    alpha: float
    instruction: str = field(default=INSTRUCTION, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.alpha <= 1, "alpha", self.alpha, "must lie in [0, 1]")

    def arranged(self, responses: Responses, desk: Desk) -> Ragged:
        """See `Retold.arranged`."""
        parse = parsed(responses.tokens, responses.channel, desk.format)
        draws = desk.rng.random((len(responses), 1 + int(parse.back.max(initial=0))))
        chosen = parse.body & (draws[parse.row, np.maximum(parse.back, 0)] < self.alpha)
        new = worded_anew(responses.tokens.values, chosen & ~parse.derives, desk.format, desk.rng)
        return Ragged(new, responses.tokens.offsets).keep(~(chosen & parse.opens))

    def chosen(self, responses: Responses, context: ReleaseContext) -> NDArray[np.bool_]:
        """See `Retold.chosen`."""
        return context.rng.random(len(responses)) < self.alpha
