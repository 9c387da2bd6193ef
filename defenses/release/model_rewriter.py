"""A rewriter that is a language model: it is told what to do with a trace, and follows. Knows no single instruction."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from configs.errors import ConfigError
from defenses.base import Preparation
from defenses.release.rewriter import REWRITTEN, Desk, said
from lm.types import Channel
from teacher.api.schema import Responses

if TYPE_CHECKING:
    from lm.huggingface import Pretrained

TRIED = 32
"""Clean traces that a rewriter has to show what it can on, before the API opens."""
ASIDE = re.compile(r"((?:<[\w|]+>\s*)?)(.*?)((?:\s*</[\w|]+>)?)", re.DOTALL)
"""A trace with the tags around it: one that opens it and one that closes it."""


@dataclass(frozen=True)
class ModelRewriter:
    """Rewrites a trace by an instruction, greedily; everything else of the response is put back as it was.

    The model reads the instruction, an empty line and the trace, without the tags around it, and may think first, between
    the tags of its own. A text that it does not finish within the tokens that a response may have counts as none. Rows
    without a trace, or with one that calls interrupt, stay as they are.

    Args:
        spec: the model.
        instruction: what it is told.
    """

    spec: Pretrained
    instruction: str

    def __call__(self, responses: Responses, desk: Desk) -> list[str | None]:
        """See `defenses.release.rewriter.Rewriter`."""
        from lm.by_spec import opened
        from lm.types import Sampling

        whole = desk.codec.decode(responses.tokens)
        trace = [text.strip() for text in desk.codec.decode(responses.tokens.keep(responses.channel == Channel.TRACE))]
        texts: list[str | None] = [None] * len(responses)
        rows = [row for row, text in enumerate(trace) if text and text in whole[row]]
        if not rows:
            return texts
        parts = [_parts(trace[row]) for row in rows]
        lm = opened(self.spec)
        asked = lm.encode_prompts([f"{self.instruction}\n\n{inner}" for _, inner, _ in parts])
        room = np.full(len(rows), np.iinfo(np.int64).max) if lm.positions is None else lm.positions - asked.lengths
        most = np.minimum(desk.most[rows], room)
        fits = np.flatnonzero(most > 0)
        drawn = lm.generate(asked.take(fits), Sampling(0.0, most[fits]), np.zeros(len(fits), np.int64))
        for i, text, finished in zip(fits.tolist(), lm.decode(drawn.tokens), drawn.finished, strict=True):
            before, _, after = parts[i]
            close = self.spec.think_close
            new = (text.rpartition(close)[2] if close else text).strip() if finished else ""
            row = rows[i]
            texts[row] = "" if not new else whole[row].replace(trace[row], before + new + after, 1)
        for i in np.flatnonzero(most <= 0).tolist():
            texts[rows[i]] = ""
        return texts

    def require_answers(self, context: Preparation, who: str) -> None:
        """Refuse a rewriter that does not do its work, before the API opens.

        Args:
            context: of the provider; its clean traces are rewritten.
            who: the name of the defense.

        Raises:
            ConfigError: more than half of the traces come back with another answer, without a trace or too long.
        """
        clean = context.clean_traces(TRIED)
        rows = len(clean)
        yes, lengths = np.ones(rows, np.bool_), clean.completions.lengths
        responses = Responses(np.arange(rows), clean.completions, clean.channel, yes, ~yes, lengths.astype(np.int32))
        desk = Desk(context.teacher, context.teacher.format, context.rng, 2 * lengths)
        _, outcomes = said(self(responses, desk), responses, desk)
        tried, kept = sum(outcomes.values()), outcomes.pop(REWRITTEN, 0)
        if not tried or 2 * kept < tried:
            found = ", ".join(f"{reason}: {count}" for reason, count in sorted(outcomes.items()))
            reason = f"rewrites {kept} of {tried} clean traces as is allowed ({found or 'there is none to rewrite'})"
            raise ConfigError(f"defense.{who}.rewriter", self.spec.path, reason)


def _parts(trace: str) -> tuple[str, str, str]:
    """A trace as what stays before it, what is said, and what stays behind it."""
    found = ASIDE.fullmatch(trace)
    assert found is not None
    return found[1], found[2], found[3]
