# mypy: allow-untyped-decorators
"""Which accounts share how many tokens: pairs counted row by row over an inverted index, components by union-find.

Pairs are counted and judged one row at a time and never stored. Knows nothing of what a token stands for.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from defenses.admission.linking.incidence import Incidence
from lm.compiled import kernel

_M1, _M2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_THREADS, _WORTH_A_THREAD = 2, 100_000


class Links(NamedTuple):
    """What the accounts of an incidence have to do with each other.

    Args:
        component: (K,) int32 number of the connected component each is in, by order of first members.
        links: (K,) int64 how many accounts each is linked with.
        best: (K,) float64 how near each came to a link: the largest, over all other accounts, of the smaller of Jaccard
            index and shared tokens, each as a share of what a link takes; 1 for who has a link.
    """

    component: NDArray[np.int32]
    links: NDArray[np.int64]
    best: NDArray[np.float64]


class Edges(NamedTuple):
    """Links as ids of accounts ``a`` and ``b`` (E,) int32, a < b, and Jaccard index ``weight`` (E,) float64."""

    a: NDArray[np.int32]
    b: NDArray[np.int32]
    weight: NDArray[np.float64]


@kernel
def _root(parent: Any, i: Any) -> Any:
    while parent[i] != i:
        parent[i] = parent[parent[i]]  # halves the path, without a second walk
        i = parent[i]
    return i


@kernel
def _join(parent: Any, i: Any, j: Any) -> None:
    """The smaller number is the root."""
    a, b = _root(parent, i), _root(parent, j)
    if a < b:
        parent[b] = a
    elif b < a:
        parent[a] = b


@kernel
def _merge(parent: Any, other: Any) -> None:
    for i in range(len(parent)):
        _join(parent, i, other[i])


@kernel
def _roots(parent: Any) -> None:
    for i in range(len(parent)):
        parent[i] = _root(parent, i)


@kernel
def _link(
    first: Any,
    step: Any,
    start: Any,
    token: Any,
    after: Any,
    stop: Any,
    row: Any,
    size: Any,
    jaccard: Any,
    shared: Any,
    parent: Any,
    links: Any,
    best: Any,
) -> None:
    """Every pair (i, j > i) of rows first, first + step, ... that has a token in common."""
    # One counter for every row, of which only those touched are cleared: no row of pairs is sorted or hashed.
    both = np.zeros(len(size), np.int32)
    touched = np.empty(len(size), np.int32)
    for i in range(first, len(size), step):
        found = 0
        for e in range(start[i], start[i + 1]):
            for p in range(after[e], stop[token[e]]):
                j = row[p]
                if both[j] == 0:
                    touched[found] = j
                    found += 1
                both[j] += 1
        for x in range(found):
            j = touched[x]
            n = both[j]
            both[j] = 0
            index = n / (size[i] + size[j] - n)
            if n >= shared and index >= jaccard:
                _join(parent, i, j)
                links[i] += 1
                links[j] += 1
                best[i] = 1.0
                best[j] = 1.0
            else:
                near = min(min(index / jaccard, n / shared), 1.0)
                best[i] = max(best[i], near)
                best[j] = max(best[j], near)


@kernel
def _sample(
    members: Any,
    start: Any,
    token: Any,
    after: Any,
    stop: Any,
    row: Any,
    size: Any,
    jaccard: Any,
    shared: Any,
    below: Any,
    a: Any,
    b: Any,
    weight: Any,
    drawn: Any,
) -> Any:
    """Links of the rows ``members`` whose hash is at most ``below``; how many."""
    both = np.zeros(len(size), np.int32)
    touched = np.empty(len(size), np.int32)
    count = 0
    for i in members:
        found = 0
        for e in range(start[i], start[i + 1]):
            for p in range(after[e], stop[token[e]]):
                j = row[p]
                if both[j] == 0:
                    touched[found] = j
                    found += 1
                both[j] += 1
        for x in range(found):
            j = touched[x]
            n = both[j]
            both[j] = 0
            index = n / (size[i] + size[j] - n)
            if n < shared or index < jaccard:
                continue
            mixed = (np.uint64(i) * _M1) ^ (np.uint64(j) * _M2)
            mixed = (mixed ^ (mixed >> np.uint64(32))) * _M1
            mixed ^= mixed >> np.uint64(29)
            if mixed <= below and count < len(a):
                a[count], b[count], weight[count], drawn[count] = i, j, index, mixed
                count += 1
    return count


def link(index: Incidence, jaccard: float, shared: int, threads: int = _THREADS) -> Links:
    """Link the accounts that have ``shared`` tokens or more in common, and of all they have a share of ``jaccard`` or more.

    Args:
        index: who has what.
        jaccard: least |A ∩ B| / |A ∪ B|, above 0.
        shared: least |A ∩ B|, at least 1.
        threads: how many count pairs at a time; the result does not depend on it.
    """
    count = len(index.account)
    threads = threads if len(index.token) > _WORTH_A_THREAD else 1
    own = [(np.arange(count), np.zeros(count, np.int64), np.zeros(count)) for _ in range(threads)]

    def part(k: int) -> None:
        _link(k, threads, *_arrays(index), float(jaccard), int(shared), *own[k])

    if threads == 1:
        part(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(part, range(threads)))
    parent = own[0][0]
    for other, _, _ in own[1:]:
        _merge(parent, other)
    _roots(parent)
    component = np.unique(parent, return_inverse=True)[1].astype(np.int32)
    return Links(component, np.sum([o[1] for o in own], axis=0), np.max([o[2] for o in own], axis=0, initial=0.0))


def edges_of(
    index: Incidence, members: NDArray[np.integer], jaccard: float, shared: int, links: int, most: int
) -> Edges:
    """At most ``most`` of the ``links`` links within a component, those with the smallest hashes, in order.

    Args:
        index: who has what.
        members: rows of ``index``, all those of the component.
        jaccard: as in `link`.
        shared: as in `link`.
        links: how many there are.
        most: at least 1.
    """
    below = 2**64 - 1 if links <= most else min(2**64 - 1, int(2**64 * (most / links)))
    room = links if links <= most else 2 * most
    a, b = np.empty(room, np.int64), np.empty(room, np.int64)
    weight, drawn = np.empty(room, np.float64), np.empty(room, np.uint64)
    rows = np.sort(members.astype(np.int64))
    found = _sample(rows, *_arrays(index), float(jaccard), int(shared), np.uint64(below), a, b, weight, drawn)
    first = np.argsort(drawn[:found], kind="stable")[:most]
    first = first[np.lexsort((b[first], a[first]))]
    return Edges(index.account[a[first]], index.account[b[first]], weight[first])


def _arrays(index: Incidence) -> tuple[NDArray[Any], ...]:
    return index.start, index.token, index.after, index.token_start[1:], index.row, index.size
