"""What a student-sized model says at each token that a client sees: the gradient of whoever trains on it starts from there.
Knows no single defense."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from defenses.base import ReleaseContext
from lm.examples import Examples
from lm.ragged import Ragged
from teacher.api.schema import Responses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lm.language_model import LanguageModel


def shown(responses: Responses, context: ReleaseContext) -> Ragged:
    """R rows of what stands before each response: its prompt, and the prefill where the client set one."""
    prompts = context.prompts.tokens.take(context.requests.prompt[responses.request])
    texts = context.params.prefills
    if not any(texts):
        return prompts
    own = context.codec.encode([texts[int(r) if len(texts) > 1 else 0] for r in responses.request])
    return Ragged.of([np.concatenate(pair) for pair in zip(prompts, own, strict=True)])


def student_probs(lm: LanguageModel, responses: Responses, context: ReleaseContext) -> NDArray[np.float64]:
    """(N, V) q, the model's distribution at each visible token after what the client sees before it."""
    prompts = shown(responses, context)
    scores = lm.score(prompts, responses.tokens, top_k=lm.vocabulary)
    assert scores.top_ids is not None
    assert scores.top_logprobs is not None
    probs = np.zeros(scores.top_ids.shape)
    np.put_along_axis(probs, scores.top_ids.astype(np.int64), np.exp(scores.top_logprobs.astype(np.float64)), 1)
    return probs


def of_ids(table: NDArray[np.float64], ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """(M, C) entries of (M, V) rows by token id; 0 for -1 and for ids that the table does not reach."""
    known = (ids >= 0) & (ids < table.shape[1])
    return np.where(known, np.take_along_axis(table, np.where(known, ids, 0), 1), 0.0)


def as_examples(responses: Responses, context: ReleaseContext) -> Examples:
    """The visible text as rows that somebody trains on."""
    count = len(responses)
    return Examples(
        shown(responses, context),
        responses.tokens,
        responses.channel,
        np.ones(len(responses.channel), np.float32),
        np.full(count, -1, np.int64),
        responses.cut,
    )


def require_same_tokens(defense: str, teacher: Sequence[str], student: Sequence[str]) -> None:
    """Raise `ConfigError` where a defense's student has other tokens than the teacher."""
    if tuple(teacher) != tuple(student):
        reason = f"needs a student-sized model with the teacher's tokenizer ({len(teacher)} tokens)"
        raise ConfigError(f"defense.{defense}", f"{len(student)} tokens in the student", reason)
