"""Sold probabilities beside the true ones: what who knows how they are changed can learn from. Knows no defense."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from attacks.base import RecoverContext
from attacks.knowledge import Rehearsed
from lm.examples import Examples


class SoldPairs(NamedTuple):
    """N tokens of a rehearsal.

    Args:
        served: (N, k + 1) float64 what would have been sold: the k listed probabilities in the order in which they are
            listed, then the rest of the mass.
        clean: (N, k + 1) float64 the true probabilities of the same tokens, then the rest.
    """

    served: NDArray[np.float64]
    clean: NDArray[np.float64]


def bins(rows: Examples, columns: int = 0) -> NDArray[np.float64]:
    """(N, max(k, columns) + 1) listed probabilities of each token, 0 where fewer are listed, then the mass that is not; rows
    sum to 1."""
    assert rows.top_logprobs is not None
    told = np.exp(np.where(_listed(rows), rows.top_logprobs.astype(np.float64), -np.inf))
    told /= np.maximum(told.sum(1, keepdims=True), 1.0)
    return _wider(told, columns)


def with_bins(rows: Examples, probs: NDArray[np.float64]) -> Examples:
    """The rows with other probabilities in the place of those listed, in falling order; where none is listed, none is.

    Args:
        rows: of N tokens with k logprobs each.
        probs: as `bins` gives them; the first k columns are taken.
    """
    assert rows.top_ids is not None
    with np.errstate(divide="ignore"):
        logprobs = np.where(_listed(rows), np.log(probs[:, : rows.top_ids.shape[1]]), -np.inf).astype(np.float32)
    order = np.argsort(-logprobs, axis=1, kind="stable")
    ids = np.where(np.isfinite(logprobs), rows.top_ids, -1)
    ids, logprobs = (np.take_along_axis(table, order, 1) for table in (ids, logprobs))
    return replace(rows, top_ids=ids.astype(np.int32), top_logprobs=logprobs)


def undone(
    data: Examples, context: RecoverContext, undo: Callable[[SoldPairs, NDArray[np.float64]], NDArray[np.float64]]
) -> Examples:
    """The rows with what ``undo`` makes of their `bins`, by the pairs of the rehearsal; as they are where no probabilities
    are sold or no pair is found. Order is kept.

    Args:
        data: rows.
        context: of a step that says ``rehearses``.
        undo: from pairs and sold bins (N, C) to true ones (N, C).
    """
    assert context.rehearsed is not None
    if data.top_ids is None or not data.top_ids.size:
        return data
    pairs = pairs_of(context.rehearsed, data.top_ids.shape[1])
    return data if pairs is None else with_bins(data, undo(pairs, bins(data, pairs.served.shape[1] - 1)))


def pairs_of(rehearsed: Rehearsed, columns: int = 0) -> SoldPairs | None:
    """The tokens that a rehearsal said on both sides; None where it sells no probabilities, or no response came back as it
    was said (what changes the text leaves nothing to compare).

    Args:
        rehearsed: what was tried out; responses with other tokens than were said are left out.
        columns: k at least; those beyond what was sold are 0.
    """
    clean, served = rehearsed
    if served.top_ids is None or clean.top_ids is None or not served.top_ids.shape[1]:
        return None
    _, at, among = np.intersect1d(served.item, clean.item, return_indices=True)
    served, clean = served.take(at), clean.take(among)
    same = np.array(
        [np.array_equal(a, b) for a, b in zip(served.completions, clean.completions, strict=True)], np.bool_
    )
    served, clean = served.where(same), clean.where(same)
    listed = _listed(served).any(1) if len(served) else np.zeros(0, np.bool_)
    if not listed.any():
        return None
    assert served.top_ids is not None
    return SoldPairs(bins(served, columns)[listed], _wider(_of_ids(clean, served.top_ids)[listed], columns))


def _wider(told: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Listed probabilities, in so many columns at least, and the rest of the mass."""
    more = np.zeros((len(told), max(columns - told.shape[1], 0)))
    return np.concatenate([told, more, np.clip(1 - told.sum(1, keepdims=True), 0, None)], 1)


def _listed(rows: Examples) -> NDArray[np.bool_]:
    assert rows.top_ids is not None
    assert rows.top_logprobs is not None
    return (rows.top_ids >= 0) & np.isfinite(rows.top_logprobs)


def _of_ids(rows: Examples, ids: NDArray[np.int32]) -> NDArray[np.float64]:
    """(N, k) what rows list of these tokens; 0 for -1 and for what they do not list."""
    assert rows.top_ids is not None
    assert rows.top_logprobs is not None
    found = np.zeros(ids.shape)
    probs = np.exp(np.where(_listed(rows), rows.top_logprobs.astype(np.float64), -np.inf))
    for column in range(ids.shape[1]):
        same = (rows.top_ids == ids[:, column, None]) & (ids[:, column, None] >= 0)
        found[:, column] = np.where(same, probs, 0.0).sum(1)
    return found
