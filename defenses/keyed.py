"""Pseudo-random numbers that are a function of a secret and of what was asked, not of when or beside what. For defenses
whose perturbation has to be the same whenever the same question is asked. No cryptographic strength is claimed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from lm.ragged import Ragged
from lm.randomness import mixed

Words = NDArray[np.uint64]


def secret_word(key: int) -> Words:
    """(1,) a key as a word."""
    return mixed(np.full(1, key % 2**64, np.uint64))


def row_hashes(rows: Ragged) -> Words:
    """(rows,) a hash of each row's values in order."""
    sums = _running_sums(rows)
    return mixed(sums[rows.offsets[1:]] - sums[rows.offsets[:-1]])


def prefix_hashes(rows: Ragged) -> Words:
    """(N,) a hash of the values that come before each value in its row."""
    sums = _running_sums(rows)
    return mixed(sums[:-1] - sums[rows.offsets[rows.row_of_value]])


def normals(words: Words) -> NDArray[np.float64]:
    """A standard normal number for each word."""
    return np.asarray(ndtri(((words >> np.uint64(11)).astype(np.float64) + 0.5) / 2**53), np.float64)


def _running_sums(rows: Ragged) -> Words:
    """(N + 1,) sums of hashes of (place in its row, value): the difference of two within a row identifies what lies
    between them."""
    sums = np.zeros(len(rows.values) + 1, np.uint64)
    pairs = (rows.position.astype(np.uint64) << np.uint64(32)) | rows.values.astype(np.uint64)
    np.cumsum(mixed(pairs), out=sums[1:])
    return sums
