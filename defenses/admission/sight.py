"""What a provider makes of the texts of prompts: a vector and a sketch of each. Knows nothing of who sent them.

Neither is fitted to anything, so that what a detector learnt on past prompts holds for those it serves. Both depend on the
texts alone and come out in the same bits on every machine: all sums are of whole numbers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from teacher.api.schema import Prompts

WIDTH = 512
"""Features that words are hashed to."""
SHINGLE = 3
"""Words in a shingle."""
BANDS, ROWS = 16, 4
"""Of the MinHash signature: texts of Jaccard similarity J share a band with probability 1 − (1 − J⁴)¹⁶, half at J ≈ 0.45."""

_WORD = re.compile(r"\w+")
_MIX = tuple(np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def embedding_of(prompts: Prompts, memory: dict[str, Any]) -> NDArray[np.float32]:
    """(P, d) unit rows: `Prompts.embedding`, or `hashing_embedding`'s, made once for these prompts and kept in ``memory``.

    Raises:
        ConfigError: `Prompts.embedding` has another number of rows than there are texts.
    """
    if prompts.embedding is not None:
        shape = prompts.embedding.shape
        require(len(shape) == 2 and shape[0] == len(prompts.texts), "prompts.embedding", shape, "must have a row a text")
        return prompts.embedding
    vectors: NDArray[np.float32] = _made_once("_embedding", hashing_embedding, prompts, memory)
    return vectors


def sketch_of(prompts: Prompts, memory: dict[str, Any]) -> NDArray[np.int32]:
    """(P,) MinHash buckets: `Prompts.sketch`, or `minhash_sketch`'s, made once for these prompts and kept in ``memory``.

    Raises:
        ConfigError: `Prompts.sketch` has another length than there are texts.
    """
    if prompts.sketch is not None:
        shape = prompts.sketch.shape
        require(shape == (len(prompts.texts),), "prompts.sketch", shape, "must have an entry a text")
        return prompts.sketch
    buckets: NDArray[np.int32] = _made_once("_sketch", minhash_sketch, prompts, memory)
    return buckets


def _made_once(name: str, make: Any, prompts: Prompts, memory: dict[str, Any]) -> Any:
    """What ``make`` makes of the texts. The prompts are kept with it, so that others, even at the same address, differ."""
    held = memory.get(name)
    if held is None or held[0] is not prompts:
        held = memory[name] = (prompts, make(prompts.texts))
    return held[1]


def hashing_embedding(texts: Sequence[str]) -> NDArray[np.float32]:
    """Bag of words, hashed (Weinberger et al., ICML 2009, "Feature Hashing for Large Scale Multitask Learning").

    Words without English stop words go to `WIDTH` signed features, which is a sparse random projection of the bag: inner
    products are kept in expectation. A feature's value is the signed square root of its count, so a word that a text repeats
    does not drown the others. Words, because character n-grams cost ten times as much and say more of spelling than of
    subject.

    Args:
        texts: P texts.

    Returns:
        (P, `WIDTH`) unit rows. A text without any word is the first axis.
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    words = HashingVectorizer(n_features=WIDTH, norm=None, stop_words="english", token_pattern=_WORD.pattern)
    if not len(texts):
        return np.zeros((0, WIDTH), np.float32)
    counts = np.asarray(words.transform(texts).toarray())
    counts[np.abs(counts).sum(1) == 0, 0] = 1
    root = np.sign(counts) * np.sqrt(np.abs(counts))
    return (root / np.sqrt(np.abs(counts).sum(1, keepdims=True))).astype(np.float32)


def minhash_sketch(texts: Sequence[str]) -> NDArray[np.int32]:
    """Groups of near copies, found as an index that grows would find them.

    A text is the set of its word `SHINGLE`-grams; a MinHash signature of `BANDS` × `ROWS` values agrees in each with
    probability J (Broder 1997, "On the Resemblance and Containment of Documents"). A text that shares a band with a
    leader gets the earliest such leader's bucket; else it becomes a leader, with the hash of its shingles as its bucket.
    As only leaders are compared with, groups do not grow by chains of likeness, and the buckets of the first n texts are
    those of the n texts alone.

    Args:
        texts: P texts.

    Returns:
        (P,) buckets, equal for near copies (the same wording around another subject), chance aside different otherwise.
    """
    bucket = np.zeros(len(texts), np.int32)
    leader_of: dict[int, int] = {}
    keys, own = _bands(*_shingles(texts))
    for row, (key, name) in enumerate(zip(keys.tolist(), own.tolist(), strict=True)):
        known = [leader_of[k] for k in key if k in leader_of]
        leader = min(known, default=row)
        if leader == row:
            bucket[row] = name
            for k in key:
                leader_of[k] = row
        else:
            bucket[row] = bucket[leader]
    return bucket


def _shingles(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """(N,) hashes of all texts' shingles, text after text, and (P,) where each text begins; a text has at least one."""
    number: dict[str, int] = {}
    rows: list[int] = []
    lengths = np.zeros(len(texts), np.int64)
    for i, text in enumerate(texts):
        words = _WORD.findall(text.lower())
        # A text of fewer words is filled up, so that it has one shingle.
        words += [""] * (SHINGLE - len(words))
        lengths[i] = len(words)
        rows.extend(number.setdefault(word, len(number)) for word in words)
    digests = b"".join(hashlib.blake2b(word.encode(), digest_size=8).digest() for word in number)
    word = np.frombuffer(digests, "<u8").astype(np.uint64)[np.array(rows, np.int64)]
    if not len(texts):
        return word, lengths
    ends = np.cumsum(lengths)
    count = len(word) - SHINGLE + 1
    value = np.zeros(count, np.uint64)
    for place in range(SHINGLE):
        value = _mixed(value + word[place : place + count])
    inside = np.ones(count, np.bool_)
    for place in range(1, SHINGLE):
        last = ends[:-1] - place
        inside[last] = False
    starts = np.concatenate([[0], np.cumsum(lengths - SHINGLE + 1)[:-1]])
    return value[inside], starts.astype(np.int64)


def _bands(
    shingle: NDArray[np.uint64], start: NDArray[np.int64]
) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """(P, `BANDS`) keys of the bands of each signature, and (P,) a name for the whole signature."""
    keys = np.zeros((len(start), BANDS), np.uint64)
    if not len(start):
        return keys, np.zeros(0, np.int32)
    whole = np.zeros(len(start), np.uint64)
    for band in range(BANDS):
        key = np.full(len(start), band, np.uint64)
        for row in range(ROWS):
            salt = _mixed(np.array([band * ROWS + row + 1], np.uint64))
            key = _mixed(key + np.minimum.reduceat(_mixed(shingle ^ salt), start))
        keys[:, band] = key
        whole = _mixed(whole + key)
    return keys, (whole >> np.uint64(33)).astype(np.int32)


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Bits of each number stirred one to one (SplitMix64's finaliser; Steele, Lea and Flood, OOPSLA 2014)."""
    x = x + _MIX[0]
    x = (x ^ (x >> np.uint64(30))) * _MIX[1]
    x = (x ^ (x >> np.uint64(27))) * _MIX[2]
    return x ^ (x >> np.uint64(31))
