"""What a rewriter is, and what becomes of its texts: a response leaves in other words only where its answer, calls and tool
results come out as they were, token by token. Knows no single rewriter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lm.ragged import Ragged
from lm.types import Channel, ResponseFormat
from teacher.api.hooks import ReleaseContext
from teacher.api.rewriting import Codec, reworded
from teacher.api.schema import Responses

REWRITTEN, ANSWER, EMPTY, LONG = "rewritten", "the answer changed", "no trace was written", "it is too long"
"""What can become of a row that a rewriter says anew."""


class Desk(NamedTuple):
    """What a rewriter works with.

    Args:
        codec: of the teacher's tokens.
        format: how the responses are spelt.
        rng: explicit generator.
        most: (R,) tokens that each row may have, at least as many as it has.
    """

    codec: Codec
    format: ResponseFormat
    rng: np.random.Generator
    most: NDArray[np.int64]

    @classmethod
    def at(cls, context: ReleaseContext, responses: Responses) -> Desk:
        """That of responses about to leave: none gets longer than its client allows, or than it was."""
        allowed = context.params.each("max_tokens", len(context.requests))[responses.request]
        most = np.maximum(allowed, responses.tokens.lengths).astype(np.int64)
        return cls(context.codec, context.format, context.rng, most)


class Rewriter(Protocol):
    """Says responses in other words.

    A grammar (`Arrangement`) says what the trace said in another arrangement; a language model
    (`defenses.release.model_rewriter.ModelRewriter`) follows an instruction. Both give whole texts, answers included.
    """

    def __call__(self, responses: Responses, desk: Desk) -> list[str | None]:
        """(R,) the new text of each row, working and answer as the format spells them: "" where the rewriter found no words,
        None for a row that stays as it is."""
        ...


class Arrangement(NamedTuple):
    """A rewriter that has its new tokens already.

    Args:
        tokens: R rows; one that is equal to the old one stays.
    """

    tokens: Ragged

    def __call__(self, responses: Responses, desk: Desk) -> list[str | None]:
        """See `Rewriter`."""
        pairs = zip(self.tokens, responses.tokens, strict=True)
        changed = np.flatnonzero([not np.array_equal(new, old) for new, old in pairs])
        texts: list[str | None] = [None] * len(responses)
        for row, text in zip(changed.tolist(), desk.codec.decode(self.tokens.take(changed)), strict=True):
            texts[row] = text
        return texts


def said(
    texts: Sequence[str | None], responses: Responses, desk: Desk, strict: bool = True
) -> tuple[Responses, Counter[str]]:
    """The responses with those texts that keep the answer; all other rows stay as they were, logprobs included.

    Args:
        texts: as a `Rewriter` gives them.
        responses: R.
        desk: the one that the rewriter had.
        strict: whether a text without a trace, or a longer one than is allowed, is kept back too.

    Returns:
        The responses, and how many rows each outcome had: `REWRITTEN`, or the reason why a row was left as it was.
    """
    rows = np.array([row for row, text in enumerate(texts) if text is not None], np.int64)
    words = [text for text in texts if text is not None]

    def written(of: NDArray[np.int64]) -> Responses:
        return reworded(responses, rows[of], [words[i] for i in of], desk.codec, desk.format)

    done = written(np.arange(len(rows)))
    faults = [_fault(done, responses, row, desk.most[row] if strict else None) for row in rows.tolist()]
    good = np.flatnonzero([not fault for fault in faults])
    outcomes = Counter(fault or REWRITTEN for fault in faults)
    return (done if len(good) == len(rows) else written(good)), outcomes


def _fault(new: Responses, old: Responses, row: int, most: int | None) -> str:
    """Why a row cannot leave as it was rewritten, "" if it can."""
    tokens, before = new.tokens[row], old.tokens[row]
    trace, had = (r.channel[slice(*r.tokens.offsets[row : row + 2])] == Channel.TRACE for r in (new, old))
    if most is not None and not trace.any():
        return EMPTY
    if not np.array_equal(tokens[~trace], before[~had]):
        return ANSWER
    return LONG if most is not None and len(tokens) > most else ""


def release_as(rewriter: Rewriter, responses: Responses, context: ReleaseContext, strict: bool = True) -> Responses:
    """The responses as a rewriter says them, see `said`. ``memory["rewriter"]`` of the defense counts the outcomes."""
    desk = Desk.at(context, responses)
    released, outcomes = said(rewriter(responses, desk), responses, desk, strict)
    counts: dict[str, Any] = context.serving.memory.setdefault("rewriter", {})
    for outcome, count in outcomes.items():
        counts[outcome] = counts.get(outcome, 0) + count
    return released


def release_rows(
    rewriter: Rewriter, rows: NDArray[np.int64], responses: Responses, context: ReleaseContext
) -> Responses:
    """`release_as` for these rows of the responses alone; the rewriter sees no others."""
    if not len(rows):
        return responses
    retold = release_as(rewriter, responses.take(rows), context)
    left = np.setdiff1d(np.arange(len(responses)), rows)
    order = np.argsort(np.concatenate([left, rows]), kind="stable")
    return Responses.concat([responses.take(left), retold]).take(order)
