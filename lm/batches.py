"""Which rows go through a model at once: rows of like length, within what memory holds. Knows no model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOGITS_PER_BATCH = 2**26
"""Most logits (rows x vocabulary) held at once, so that a large vocabulary does not exhaust memory."""


def length_batches(
    lengths: NDArray[np.int64], most_tokens: int, members: int = 1, most_rows: int | None = None
) -> list[NDArray[np.int64]]:
    """Row indices sorted by length and cut so that rows x longest is at most ``most_tokens`` (but at least one row).

    Args:
        lengths: (R,) of the rows; R a multiple of ``members``.
        most_tokens: of a batch.
        members: rows come in that many equal blocks, and every batch takes as many from each, in their order.
        most_rows: of a batch.
    """
    blocks = lengths.reshape(members, -1)
    order = np.argsort(blocks, axis=1, kind="stable")
    ordered = np.take_along_axis(blocks, order, 1).max(0)  # over members: the longest row at each place
    limit = len(ordered) if most_rows is None else max(1, most_rows // members)
    parts: list[NDArray[np.int64]] = []
    start = 0
    while start < len(ordered):
        sizes = ordered[start : start + limit] * members * np.arange(1, min(limit, len(ordered) - start) + 1)
        count = max(1, int(np.searchsorted(sizes, most_tokens, side="right")))
        here = order[:, start : start + count] + np.arange(members)[:, None] * blocks.shape[1]
        parts.append(here.reshape(-1))
        start += count
    return parts
