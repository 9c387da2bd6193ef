# mypy: allow-untyped-decorators
"""Who has which token: an index in both orders, tokens that too many or only one account has left out.

Knows nothing of what a token stands for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lm.compiled import kernel

_M1, _M2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


class Incidence(NamedTuple):
    """Which of K accounts has which of T tokens that at least two of them have, in both orders.

    Args:
        account: (K,) int32 ids, ascending.
        start: (K + 1,) int64; the tokens of row i are ``token[start[i]:start[i + 1]]``, each once.
        token: (N,) int32.
        after: (N,) int64 place in ``row`` of the next account with the same token.
        token_start: (T + 1,) int64; the accounts with token t are ``row[token_start[t]:token_start[t + 1]]``.
        row: (N,) int32 rows of accounts, ascending for each token.
        size: (K,) int32 how many tokens each has, with those that no other account has, without those that too many have.
    """

    account: NDArray[np.int32]
    start: NDArray[np.int64]
    token: NDArray[np.int32]
    after: NDArray[np.int64]
    token_start: NDArray[np.int64]
    row: NDArray[np.int32]
    size: NDArray[np.int32]

    @property
    def frequency(self) -> NDArray[np.int64]:
        """(T,) how many accounts have each token, at least 2."""
        return np.diff(self.token_start)


@kernel
def _by_row(row: Any, key: Any, place: Any, out: Any) -> None:
    """Keys in the order of their rows; ``place`` holds where each row begins."""
    for i in range(len(row)):
        out[place[row[i]]] = key[i]
        place[row[i]] += 1


@kernel
def _number(key: Any, start: Any, table: Any, name: Any, seen: Any, count: Any, token: Any, kept: Any) -> Any:
    """Keys to numbers 0, 1, ... by first occurrence, repeats within a row dropped; how many numbers there are."""
    mask, numbers, out = np.uint64(len(table) - 1), 0, 0
    for i in range(len(start) - 1):
        for e in range(start[i], start[i + 1]):
            mixed = np.uint64(key[e]) * _M1
            mixed = (mixed ^ (mixed >> np.uint64(32))) * _M2
            at = np.int64((mixed ^ (mixed >> np.uint64(29))) & mask)
            while table[at] >= 0 and name[table[at]] != key[e]:
                at = (at + 1) & np.int64(mask)
            t = table[at]
            if t < 0:
                t = numbers
                table[at], name[t], seen[t], count[t] = t, key[e], -1, 0
                numbers += 1
            if seen[t] != i:
                seen[t] = i
                count[t] += 1
                token[out] = t
                out += 1
        kept[i + 1] = out
    return numbers


@kernel
def _post(start: Any, token: Any, place: Any, row: Any, after: Any) -> None:
    """The inverted index; ``place`` holds where each token's accounts begin."""
    for i in range(len(start) - 1):
        for e in range(start[i], start[i + 1]):
            t = token[e]
            row[place[t]] = i
            place[t] += 1
            after[e] = place[t]


def incidence(account: NDArray[np.integer], key: NDArray[np.int64], max_frequency: int) -> Incidence:
    """The index of N (account, token) pairs, repeats allowed, without tokens of more than ``max_frequency`` accounts.

    Args:
        account: (N,) ids.
        key: (N,) whatever tells tokens apart.
        max_frequency: at least 2.
    """
    ids = np.flatnonzero(np.bincount(account))
    place_of = np.zeros(int(ids[-1]) + 1 if len(ids) else 0, np.int32)
    place_of[ids] = np.arange(len(ids))
    row = place_of[account]
    start = _starts(np.bincount(row, minlength=len(ids)))
    ordered = np.empty(len(key), np.int64)
    _by_row(row, key.astype(np.int64), start[:-1].copy(), ordered)
    table = np.full(1 << (2 * len(key) + 1).bit_length(), -1, np.int32)
    name = np.empty(len(key), np.int64)
    seen, count, token = (np.empty(len(key), np.int32) for _ in range(3))
    kept = np.zeros(len(ids) + 1, np.int64)
    tokens = _number(ordered, start, table, name, seen, count, token, kept)
    del table, name, seen, ordered
    count, token = count[:tokens], token[: kept[-1]]
    owner = np.repeat(np.arange(len(ids), dtype=np.int32), np.diff(kept))
    usable = (count <= max_frequency)[token]
    size = np.bincount(owner[usable], minlength=len(ids)).astype(np.int32)
    links_two = (count >= 2) & (count <= max_frequency)
    renumbered = (np.cumsum(links_two) - 1).astype(np.int32)
    chosen = links_two[token]
    token = renumbered[token[chosen]]
    start = _starts(np.bincount(owner[chosen], minlength=len(ids)))
    token_start = _starts(count[links_two])
    posted, after = np.empty(len(token), np.int32), np.empty(len(token), np.int64)
    _post(start, token, token_start[:-1].copy(), posted, after)
    return Incidence(ids.astype(np.int32), start, token, after, token_start, posted, size)


def _starts(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
