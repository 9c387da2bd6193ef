# mypy: allow-untyped-decorators
"""What accounts did together: which networks they came from and which templates they sent, hour by hour, kept for a while.

Knows nothing of how a link is drawn from it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lm.compiled import kernel
from teacher.api.accounts import Accounts
from teacher.api.clock import DAY

HOUR = 3600.0
KINDS = ("template", "payment", "network", "asn", "fingerprint", "release")
"""What an action can have in common with another's; the place in this tuple is the kind's number in a token."""

ATTRIBUTES = KINDS[:-1]
"""Those that say something without the time."""

NETWORKS_OF_AN_ASN = 64
"""Numbers of networks go by blocks of their autonomous system."""

_LOW = np.int64(0xFFFFFFFF)
_BUCKETS = np.int64((1 << 24) - 1)
_M1, _M2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


@kernel
def _distinct(high: Any, low: Any, last: Any, table: Any, kept: Any) -> Any:
    """Number of distinct (high, low); ``kept`` gets the first row of each, whose ``last`` becomes the largest of them all.
    ``table`` is a hash table of rows, a power of two long and -1 throughout."""
    mask, count = np.uint64(len(table) - 1), 0
    for i in range(len(high)):
        mixed = (np.uint64(high[i]) * _M1) ^ (np.uint64(low[i]) * _M2)
        mixed = (mixed ^ (mixed >> np.uint64(32))) * _M1
        at = np.int64((mixed ^ (mixed >> np.uint64(29))) & mask)
        while True:
            other = table[at]
            if other < 0:
                table[at] = i
                kept[count] = i
                count += 1
                break
            if high[other] == high[i] and low[other] == low[i]:
                last[other] = max(last[other], last[i])
                break
            at = (at + 1) & np.int64(mask)
    return count


class Noted(NamedTuple):
    """N distinct things that accounts did.

    Args:
        account: (N,) int32.
        value: (N,) int32 network, or template.
        slot: (N,) int64 number of the stretch of time; the last in which it was done, where the time makes no difference.
    """

    account: NDArray[np.int32]
    value: NDArray[np.int32]
    slot: NDArray[np.int64]


class Sightings:
    """Distinct (account, value) of a limited time back, each slot anew where ``timed``."""

    def __init__(self, timed: bool) -> None:
        self._timed = timed
        self._key, self._slot = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._new: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []

    def add(self, account: NDArray[np.int32], value: NDArray[np.int32], slot: NDArray[np.int64]) -> None:
        """Take note of B of them; the same may occur more than once."""
        key = (account.astype(np.int64) << 32) | value.astype(np.int32).view(np.uint32)
        self._new.append(self._once(key, slot))

    def recall(self, oldest: int) -> tuple[Noted, NDArray[np.int32]]:
        """What was done in slot ``oldest`` or later, and the ids of the accounts that were noted since the last call.
        What is older is forgotten."""
        fresh = np.unique(np.concatenate([np.zeros(0, np.int64), *(key >> 32 for key, _ in self._new)]))
        keys, slots = zip((self._key, self._slot), *self._new, strict=True)
        key, slot = np.concatenate(keys), np.concatenate(slots)
        recent = slot >= oldest
        key, slot = key[recent], slot[recent]
        self._key, self._slot = self._once(key, slot) if self._new else (key, slot)
        self._new = []
        account, value = (self._key >> 32).astype(np.int32), (self._key & _LOW).astype(np.uint32).view(np.int32)
        return Noted(account, value, self._slot), fresh.astype(np.int32)

    def _once(self, key: NDArray[np.int64], slot: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        last = slot.astype(np.int64)
        low = slot.astype(np.int64) if self._timed else np.zeros(len(key), np.int64)
        table = np.full(1 << (2 * len(key) + 1).bit_length(), -1, np.int32)
        kept = np.empty(len(key), np.int64)
        kept = kept[: _distinct(key, low, last, table, kept)]
        return key[kept], last[kept]


class Tokens(NamedTuple):
    """What was done, as N numbers that are equal where two accounts did the same; repeats are possible.

    Args:
        account: (N,) int32.
        key: (N,) int64, kind and value (and grid and bucket) in one.
        fresh: (F,) int32 ids of the accounts that did anything since they were last asked for.
    """

    account: NDArray[np.int32]
    key: NDArray[np.int64]
    fresh: NDArray[np.int32]


def of_places(places: Noted, accounts: Accounts, slot: float, releases: tuple[float, ...]) -> dict[str, Noted]:
    """What each kind of constraint makes of an account's being somewhere at some time."""
    account, network, when = places
    release = np.full(len(when), -1, np.int32)
    for number, day in enumerate(releases):
        since = when * slot - day * DAY  # a slot that a release or its end lies in counts as after it
        release[(since > -slot) & (since < DAY)] = number
    after = release >= 0
    return {
        "network": places,
        "asn": Noted(account, network // NETWORKS_OF_AN_ASN, when),
        "payment": Noted(account, accounts.payment[account], when),
        "fingerprint": Noted(account, accounts.fingerprint[account], when),
        "release": Noted(account[after], release[after], when[after]),
    }


def keys_of(noted: Noted, kind: int, grid: int | None) -> NDArray[np.int64]:
    """(N,) 3 bits of kind, 1 of the grid, 24 of the bucket (two slots each, the second grid's half a bucket later), 32 of
    the value. A bucket's number starts over after 24 bits, later than any memory reaches back."""
    key = noted.value.view(np.uint32).astype(np.int64) | np.int64(kind << 57)
    if grid is None:
        return key
    bucket = ((noted.slot + grid) >> 1) & _BUCKETS
    return key | (bucket << 32) | np.int64(grid << 56)
