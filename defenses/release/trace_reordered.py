"""PART: drop what the working says to itself, and say each sub-conclusion before its derivation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from defenses.release.retold import Retold
from defenses.release.rewriter import Desk
from defenses.release.rewriting_grammar import parsed
from defenses.release.trace_confident import self_talk
from lm.ragged import Ragged
from teacher.api.schema import Responses

INSTRUCTION = (
    "Rewrite the reasoning below in two ways. First, remove self-talk: words such as 'hmm', 'wait', 'let me think', and "
    "everything else that carries no step. Second, split what is left into its sub-conclusions, and state each "
    "sub-conclusion before the steps that derive it. Keep all other content and its order. Do not state the final answer. "
    "Write the reasoning and nothing else."
)


@dataclass(frozen=True)
class TraceReordered(Retold):
    """Removes self-talk and states each sub-conclusion before its derivation; nothing that informs is lost (PART).

    By the grammar, self-talk is what neither derives (`lm.types.ResponseFormat.derivation`) nor is a sub-result nor
    announces one, as in `TraceConfident`. Each statement then says its sub-result, with the word that announces it, before
    its derivation; statements stay in their order. In the paper a compact model does both, trained on reformulations by
    GPT-4o; here a pretrained model can follow the instruction. The control of the second half is `trace_confident`, which is
    this without the reordering.

    Args:
        rewriter: see `Retold`.
        instruction: see `Retold`.
    """

    name: ClassVar[str] = "trace_reordered"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "PART: Ding et al., arXiv 2510.11545"
    checked: ClassVar[str] = "statements written out by hand; answers token for token (hypothesis)"
    prepared_from: ClassVar[tuple[str, ...] | None] = ("rewriter", "instruction")

    instruction: str = field(default=INSTRUCTION, kw_only=True)

    def arranged(self, responses: Responses, desk: Desk) -> Ragged:
        """See `Retold.arranged`."""
        parse = parsed(responses.tokens, responses.channel, desk.format)
        kept = ~self_talk(parse, responses, desk)
        place = np.flatnonzero(kept)
        part = np.where(parse.body, 1, np.where(parse.after, 2, 0))
        keys = (place, ~parse.concludes[place], -parse.back[place] * parse.body[place], part[place], parse.row[place])
        order = np.lexsort(keys)
        lengths = np.bincount(parse.row[place], minlength=len(responses))
        return Ragged.with_lengths(responses.tokens.values[place[order]], lengths)
