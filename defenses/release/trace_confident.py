"""Show a straight derivation in the place of the working: nothing that doubts, checks or says again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from defenses.release.retold import Retold
from defenses.release.rewriter import Desk
from defenses.release.rewriting_grammar import Parsed, parsed
from lm.ragged import Ragged
from lm.types import Channel
from teacher.api.schema import Responses

INSTRUCTION = (
    "Rewrite the reasoning below as a confident derivation that was known from the start: no doubts, no checks, no "
    "restarts, no dead ends, no talk about the reasoning itself. Keep every fact and every intermediate result that the "
    "conclusion rests on. Do not state the final answer. Write the derivation and nothing else."
)


@dataclass(frozen=True)
class TraceConfident(Retold):
    """Turns each trace into a confident derivation after the fact: what explores is gone, what derives stays.

    By the grammar, of each statement its derivation stays (`lm.types.ResponseFormat.derivation`) and its sub-result with the
    word that announces it; what stands before the derivation (a state said again, a word of confirmation), between its
    parts, or after the last sub-result and derives nothing is left out. The mini world has no dead ends to be left out. What
    is left stays in its order, token by token as the teacher said it.

    Args:
        rewriter: see `Retold`.
        instruction: see `Retold`.
    """

    name: ClassVar[str] = "trace_confident"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "arXiv 2603.15500"
    checked: ClassVar[str] = "statements written out by hand; answers token for token (hypothesis)"
    prepared_from: ClassVar[tuple[str, ...] | None] = ("rewriter", "instruction")

    instruction: str = field(default=INSTRUCTION, kw_only=True)

    def arranged(self, responses: Responses, desk: Desk) -> Ragged:
        """See `Retold.arranged`."""
        return responses.tokens.keep(
            ~self_talk(parsed(responses.tokens, responses.channel, desk.format), responses, desk)
        )


def self_talk(parse: Parsed, responses: Responses, desk: Desk) -> NDArray[np.bool_]:
    """(N,) trace tokens that are neither derivation nor sub-result, nor announce one; ``parse`` is of the responses."""
    behind = parse.after & (responses.channel == Channel.TRACE)
    derives = desk.format.derivation(responses.tokens, responses.channel)
    talk: NDArray[np.bool_] = (parse.body & ~parse.derives & ~parse.concludes) | (behind & ~derives)
    return talk
