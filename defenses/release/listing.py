"""The probabilities told about each token, as one table: what is listed and, beside it, the token that was drawn. For the
defenses that change probabilities and have to leave a sub-distribution in falling order."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from teacher.api.schema import Responses


class Listing(NamedTuple):
    """Everything told about N tokens.

    Args:
        ids: (N, k + 1) int64 listed token ids, then the drawn token's where it is told but not listed; -1 elsewhere.
        probs: (N, k + 1) float64 their probabilities, 0 where the id is -1; a row sums to at most 1.
    """

    ids: NDArray[np.int64]
    probs: NDArray[np.float64]

    @property
    def rest(self) -> NDArray[np.float64]:
        """(N,) the mass of all tokens that are not told."""
        rest: NDArray[np.float64] = np.clip(1 - self.probs.sum(1), 0, None)
        return rest


def listing_of(responses: Responses) -> Listing:
    """The table of what is told about each token."""
    n = len(responses.tokens.values)
    drawn = responses.tokens.values.astype(np.int64)[:, None]
    listed = np.zeros((n, 0), np.int64) if responses.top_ids is None else responses.top_ids.astype(np.int64)
    logprobs = np.zeros((n, 0)) if responses.top_logprobs is None else responses.top_logprobs.astype(np.float64)
    own = np.full((n, 1), -np.inf) if responses.logprob is None else responses.logprob.astype(np.float64)[:, None]
    extra = (own > -np.inf) & ~(listed == drawn).any(1, keepdims=True)
    ids = np.concatenate([listed, np.where(extra, drawn, -1)], 1)
    probs = np.where(ids >= 0, np.exp(np.concatenate([logprobs, own], 1)), 0.0)
    return Listing(ids, probs / np.maximum(probs.sum(1, keepdims=True), 1.0))


def with_probs(responses: Responses, ids: NDArray[np.int64], probs: NDArray[np.float64]) -> Responses:
    """The responses with other probabilities.

    Lists are sorted anew, tokens at 0 are no longer listed, and the drawn token's own logprob, where it is sold, comes
    from the same table (-inf at 0).

    Args:
        responses: what `listing_of` was called on.
        ids: (N, k + 1) as in its `Listing`.
        probs: (N, k + 1) new probabilities.
    """
    with np.errstate(divide="ignore"):
        logprobs = np.log(probs).astype(np.float32)
    logprob, top_ids, top_logprobs = responses.logprob, responses.top_ids, responses.top_logprobs
    if logprob is not None:
        drawn = (ids >= 0) & (ids == responses.tokens.values[:, None])
        logprob = np.where(drawn, logprobs, np.float32(-np.inf)).max(1)
    if top_ids is not None:
        order = np.argsort(-logprobs[:, :-1], axis=1, kind="stable")
        top_ids = np.take_along_axis(np.where(probs > 0, ids, -1)[:, :-1], order, 1).astype(np.int32)
        top_logprobs = np.take_along_axis(logprobs[:, :-1], order, 1)
    return replace(responses, logprob=logprob, top_ids=top_ids, top_logprobs=top_logprobs)


def exchanged(responses: Responses, at: NDArray[np.int64], wrong: NDArray[np.int32]) -> Responses:
    """``wrong`` in place of the tokens at flat positions ``at``, both ids exchanged in the lists there: no logprob moves."""
    values = responses.tokens.values.copy()
    right = values[at].copy()
    values[at] = wrong
    top_ids = responses.top_ids
    if top_ids is not None:
        listed = top_ids[at]
        was_right, was_wrong = listed == right[:, None], listed == wrong[:, None]
        top_ids = top_ids.copy()
        top_ids[at] = np.where(was_right, wrong[:, None], np.where(was_wrong, right[:, None], listed))
    return replace(responses, tokens=replace(responses.tokens, values=values), top_ids=top_ids)
