"""Texts that begin alike, as a tree: what to read once, and what each goes on with. Reads nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEAST = 8
"""Tokens that texts have to have in common to be read together."""
WORTH = 64
"""Tokens that have to be saved by it: reading one text alone costs a pass over all weights."""


class Beginning(NamedTuple):
    """What some texts begin with.

    Args:
        tokens: that all of these have in common after the beginning above.
        end: how many that are with those above; each text has more.
        texts: indices of those that go on with nothing else worth sharing.
        further: beginnings of the others, each of several texts.
    """

    tokens: NDArray[np.int32]
    end: int
    texts: NDArray[np.int64]
    further: tuple[Beginning, ...]


def beginnings(texts: Sequence[NDArray[np.int32]]) -> Beginning:
    """What N different texts, none empty, begin with; of all together that may be nothing."""
    return _beginning(texts, np.arange(len(texts)), 0)


def _beginning(texts: Sequence[NDArray[np.int32]], rows: NDArray[np.int64], begun: int) -> Beginning:
    end = _common([texts[r] for r in rows])
    if not _worth(len(rows), end - begun):
        end = begun
    alike = defaultdict(list)
    for row in rows:
        alike[texts[row][end : end + LEAST].tobytes()].append(row)
    groups = [np.array(group, np.int64) for group in alike.values()]
    shared = [_worth(len(group), _common([texts[r] for r in group]) - end) for group in groups]
    further = tuple(_beginning(texts, group, end) for group, more in zip(groups, shared, strict=True) if more)
    alone = [group for group, more in zip(groups, shared, strict=True) if not more]
    return Beginning(texts[rows[0]][begun:end], end, np.sort(np.concatenate([rows[:0], *alone])), further)


def _worth(texts: int, tokens: int) -> bool:
    return tokens >= LEAST and (texts - 1) * tokens >= WORTH


def _common(texts: Sequence[NDArray[np.int32]]) -> int:
    """How many tokens all texts begin with, so that at least one of each is left."""
    most = min(map(len, texts)) - 1
    whole = np.stack([text[:most] for text in texts])
    unlike = np.flatnonzero((whole != whole[0]).any(0))
    return int(unlike[0]) if len(unlike) else most
