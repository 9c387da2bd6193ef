"""A rewriter that is a language model: it is told what to do with a trace, and follows. Knows no single instruction."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from configs.errors import ConfigError
from defenses.base import Preparation
from defenses.release.rewriter import REWRITTEN, Desk, said
from lm.examples import Examples
from lm.types import Channel, Generations
from teacher.api.schema import Responses

if TYPE_CHECKING:
    from lm.huggingface import Pretrained
    from lm.language_model import LanguageModel

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
        for i, new in zip(fits.tolist(), words(drawn, lm, self.spec), strict=True):
            before, _, after = parts[i]
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
        _, outcomes = self.on_rows(context.clean_traces(TRIED), context)
        if not outcomes.enough:
            raise ConfigError(f"defense.{who}.rewriter", self.spec.path, str(outcomes))

    def on_rows(self, rows: Examples, context: Preparation) -> tuple[Examples, Outcomes]:
        """Clean traces as clients would get them, in at most twice as many tokens each, and what became of them."""
        lengths = rows.completions.lengths
        yes = np.ones(len(rows), np.bool_)
        responses = Responses(np.arange(len(rows)), rows.completions, rows.channel, yes, ~yes, lengths.astype(np.int32))
        desk = Desk(context.teacher, context.teacher.format, context.rng, 2 * lengths)
        new, counts = said(self(responses, desk), responses, desk)
        learnt = (new.channel != Channel.TOOL).astype(np.float32)
        changed = {"completions": new.tokens, "channel": new.channel, "weight": learnt}
        return replace(rows, **changed, top_ids=None, top_logprobs=None, logprob=None), Outcomes(counts)


class Outcomes(NamedTuple):
    """What became of clean traces that a rewriter was given.

    Args:
        counts: rows by outcome, see `defenses.release.rewriter.said`; rows that it left as they are do not count.
    """

    counts: Counter[str]

    @property
    def share(self) -> float:
        """Share of the traces that leave rewritten; 0 where there was none to rewrite."""
        tried = sum(self.counts.values())
        return self.counts[REWRITTEN] / tried if tried else 0.0

    @property
    def enough(self) -> bool:
        """Whether the rewriter does its work: at least half of the traces leave rewritten."""
        return self.share >= 0.5

    def __str__(self) -> str:
        left = sorted((reason, count) for reason, count in self.counts.items() if reason != REWRITTEN)
        tried = sum(self.counts.values())
        found = ", ".join(f"{reason}: {count}" for reason, count in left) if tried else "there is none to rewrite"
        return f"rewrites {self.counts[REWRITTEN]} of {tried} clean traces as is allowed ({found})"


def words(drawn: Generations, lm: LanguageModel, spec: Pretrained) -> list[str]:
    """(R,) what a model said in the end, after its own thinking; "" for a text that it did not finish."""
    close = spec.think_close
    texts = [text.rpartition(close)[2] if close else text for text in lm.decode(drawn.tokens)]
    return [text.strip() if finished else "" for text, finished in zip(texts, drawn.finished, strict=True)]


def _parts(trace: str) -> tuple[str, str, str]:
    """A trace as what stays before it, what is said, and what stays behind it."""
    found = ASIDE.fullmatch(trace)
    assert found is not None
    return found[1], found[2], found[3]
