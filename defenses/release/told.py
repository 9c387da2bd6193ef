"""The tokens of responses about which a distribution is told, and what moves mass between the entries of one. For defenses
that change probabilities within a budget; knows no single one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from defenses.release.listing import Listing, listing_of, with_probs
from teacher.api.schema import Responses

BLOCK = 2**14
"""Rows that are worked on at a time, so that what is computed in between stays in the processor's cache."""

Rows = NDArray[np.float64]


class Told(NamedTuple):
    """The M of N tokens for which at least two others are told apart; tool results and bare labels are none of them.

    Args:
        place: (M,) which tokens.
        ids: (M, C) token ids, -1 where there is none.
        probs: (M, C) their probabilities y, 0 where the id is -1. A row sums to s: 1 where the whole vocabulary is told.
            What a defense moves stays within s: tokens that are not told keep their mass, as one class.
        listing: of all N.
    """

    place: NDArray[np.int64]
    ids: NDArray[np.int64]
    probs: Rows
    listing: Listing

    @property
    def listed(self) -> NDArray[np.bool_]:
        """(M, C) where there is a token."""
        return self.ids >= 0

    @property
    def rest(self) -> Rows:
        """(M,) mass of the tokens that are not told."""
        rest: Rows = self.listing.rest[self.place]
        return rest


def told_of(responses: Responses) -> Told:
    """What is told of the tokens of these responses."""
    listing = listing_of(responses)
    place = np.flatnonzero((listing.ids >= 0).sum(1) > 1)
    return Told(place, listing.ids[place], listing.probs[place], listing)


def with_told(responses: Responses, told: Told, probs: Rows) -> Responses:
    """The responses with other probabilities (M, C) of what was told; all other tokens are as they were."""
    if not len(told.place):
        return responses
    new = told.listing.probs.copy()
    new[told.place] = np.clip(probs, 0.0, 1.0)
    changed = with_probs(responses, told.listing.ids, new)
    for name in ("logprob", "top_ids", "top_logprobs"):
        before, after = getattr(responses, name), getattr(changed, name)
        if before is not None:
            others = np.ones(len(before), np.bool_)
            others[told.place] = False
            after[others] = before[others]
    return changed


def in_blocks(change: Callable[..., Rows], *columns: NDArray[Any]) -> Rows:
    """What ``change`` makes of columns with a row each, a block of rows at a time."""
    out = np.empty_like(columns[0], dtype=np.float64)
    for start in range(0, len(out), BLOCK):
        rows = slice(start, start + BLOCK)
        out[rows] = change(*(column[rows] for column in columns))
    return out


def towards(probs: Rows, target: Rows, epsilon: float) -> Rows:
    """(M, C) y + α(t − y) with α = min(1, ε / ‖t − y‖₁): as far towards t as an L1 distance of ε reaches.

    Args:
        probs: (M, C) y.
        target: (M, C) t, rows with the same sums.
        epsilon: ε.
    """
    way = target - probs
    length = np.abs(way).sum(1, keepdims=True)
    moved: Rows = probs + np.minimum(1.0, epsilon / np.maximum(length, 1e-300)) * way
    return moved


def vertex(probs: Rows, column: NDArray[np.int64]) -> Rows:
    """(M, C) all told mass s on one column a row."""
    at: Rows = np.zeros_like(probs)
    np.put_along_axis(at, column[:, None], probs.sum(1, keepdims=True), 1)
    return at
