"""What a provider makes of the texts of prompts: a vector and a sketch of each. Knows nothing of who sent them.

Neither is fitted to anything, so that what a detector learnt on past prompts holds for those it serves. Both depend on the
texts alone and come out in the same bits on every machine: all sums are of whole numbers.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from lm.compiled import kernel
from teacher.api.schema import Prompts

WIDTH = 512
"""Features that words are hashed to."""
SHINGLE = 3
"""Words in a shingle."""
BANDS, ROWS, SHARED = 48, 2, 3
"""Of the MinHash signature: its bands, the values in each, and the bands in common that make a near copy."""

_WORD = re.compile(r"\w+")
_MIX = tuple(np.uint64(c) for c in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


def embedding_of(prompts: Prompts, memory: dict[str, Any]) -> NDArray[np.float32]:
    """(P, d) unit rows: `Prompts.embedding`, or `hashing_embedding`'s, made once for these prompts and kept in ``memory``.

    Raises:
        ConfigError: `Prompts.embedding` has another number of rows than there are texts.
    """
    if prompts.embedding is not None:
        shape = prompts.embedding.shape
        require(
            len(shape) == 2 and shape[0] == len(prompts.texts), "prompts.embedding", shape, "must have a row a text"
        )
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
    does not drown the others. Words, because character n-grams take ten times as long and say more of spelling than of
    subject.

    Args:
        texts: P texts.

    Returns:
        (P, `WIDTH`) unit rows. A text without any word is the first axis.
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    if not len(texts):
        return np.zeros((0, WIDTH), np.float32)
    words = HashingVectorizer(n_features=WIDTH, norm=None, stop_words="english", token_pattern=_WORD.pattern)
    counts = words.transform(texts).tocsr()
    counts.eliminate_zeros()  # words of opposite sign that share a feature: a text of such alone counts as without any
    # Squares of the values are the counts themselves: whole numbers, which add up alike in any order.
    length = np.sqrt(np.asarray(abs(counts).sum(1)).ravel())
    counts.data = np.sign(counts.data) * np.sqrt(np.abs(counts.data)) / np.repeat(length, np.diff(counts.indptr))
    found: NDArray[np.float32] = counts.astype(np.float32).toarray()
    found[length == 0, 0] = 1
    return found


def minhash_sketch(texts: Sequence[str]) -> NDArray[np.int32]:
    """Groups of near copies, found as an index that grows with the texts would find them.

    A text is the set of its word `SHINGLE`-grams. Two texts of Jaccard similarity J agree in each value of their MinHash
    signatures with probability J (Broder 1997, "On the Resemblance and Containment of Documents"), and share
    Binomial(`BANDS`, J^`ROWS`) of the bands (locality-sensitive hashing; Leskovec, Rajaraman and Ullman, Mining of Massive
    Datasets, ch. 3). A text joins the leader with which it shares the most bands, `SHARED` at least, which happens with
    probability 1.00 / 0.99 / 0.82 / 0.30 / 0.01 at J = 0.5 / 0.4 / 0.3 / 0.2 / 0.1; else it becomes a leader itself.
    Wordings of thirty words around subjects of ten have J of 0.3 to 0.5. As only leaders are compared with, groups do not
    grow by chains of likeness, and the buckets of the first n texts are those of the n texts alone.

    Args:
        texts: P texts.

    Returns:
        (P,) buckets, equal within a group, different between groups (up to 31-bit chance).
    """
    if not len(texts):
        return np.zeros(0, np.int32)
    shingle, start = _shingles(texts)
    salts = _mixed(np.arange(1, BANDS * ROWS + 1, dtype=np.uint64))
    signature = np.empty((len(texts), len(salts)), np.uint64)
    _sign(shingle, np.append(start, len(shingle)), salts, signature)
    keys = np.empty((len(texts), BANDS), np.uint64)
    for band in range(BANDS):
        key = np.full(len(texts), band, np.uint64)
        for value in signature[:, band * ROWS : (band + 1) * ROWS].T:
            key = _mixed(key + value)
        keys[:, band] = key
    _, number = np.unique(keys, return_inverse=True)
    leader = np.empty(len(texts), np.int64)
    _lead(number.reshape(keys.shape).astype(np.int64), int(number.max()) + 1, SHARED, leader)
    name = np.zeros(len(texts), np.uint64)
    for key in keys.T:
        name = _mixed(name + key)
    return (name >> np.uint64(33)).astype(np.int32)[leader]


def _shingles(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """(N,) hashes of all texts' shingles, text after text, and (P,) where each text begins; a text has at least one."""
    number: defaultdict[str, int] = defaultdict()
    number.default_factory = number.__len__
    rows: list[int] = []
    lengths = np.zeros(len(texts), np.int64)
    for i, text in enumerate(texts):
        words = _WORD.findall(text.lower())
        # A text of fewer words is filled up, so that it has one shingle.
        words += [""] * (SHINGLE - len(words))
        lengths[i] = len(words)
        rows.extend(map(number.__getitem__, words))
    digests = b"".join(
        hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest() for word in number
    )
    word = np.frombuffer(digests, "<u8").astype(np.uint64)[np.array(rows, np.int64)]
    count = len(word) - SHINGLE + 1
    value = np.zeros(count, np.uint64)
    for place in range(SHINGLE):
        value = _mixed(value + word[place : place + count])
    inside = np.ones(count, np.bool_)
    for place in range(1, SHINGLE):
        inside[np.cumsum(lengths)[:-1] - place] = False
    starts = np.cumsum(lengths - SHINGLE + 1)
    return value[inside], np.concatenate([[0], starts[:-1]])


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Bits of each number stirred one to one (SplitMix64's finaliser; Steele, Lea and Flood, OOPSLA 2014)."""
    x = x + _MIX[0]
    x = (x ^ (x >> np.uint64(30))) * _MIX[1]
    x = (x ^ (x >> np.uint64(27))) * _MIX[2]
    return x ^ (x >> np.uint64(31))


def _signatures(
    shingle: NDArray[np.uint64], bounds: NDArray[np.int64], salts: NDArray[np.uint64], out: NDArray[np.uint64]
) -> None:
    """``out`` (P, K): the least of each text's shingles under each of K hashes, which are `_mixed` of a salted shingle."""
    for text in range(len(bounds) - 1):
        for k in range(len(salts)):
            least = np.uint64(0xFFFFFFFFFFFFFFFF)
            for i in range(bounds[text], bounds[text + 1]):
                x = (shingle[i] ^ salts[k]) + _MIX[0]
                x = (x ^ (x >> np.uint64(30))) * _MIX[1]
                x = (x ^ (x >> np.uint64(27))) * _MIX[2]
                least = min(least, x ^ (x >> np.uint64(31)))
            out[text, k] = least


def _leaders(key: NDArray[np.int64], keys: int, shared: int, leader: NDArray[np.int64]) -> None:
    """``leader`` (P,): the text whose group each joins, itself for a leader; ``key`` (P, `BANDS`) numbers below ``keys``."""
    texts, bands = key.shape
    # Leaders of a key are a list: its newest entry, and from each to the one before it. An entry is text * bands + band.
    newest = np.full(keys, -1, np.int64)
    before = np.full(texts * bands, -1, np.int64)
    count = np.zeros(texts, np.int64)
    for text in range(texts):
        best = text
        for band in range(bands):
            entry = newest[key[text, band]]
            while entry >= 0:
                other = entry // bands
                count[other] += 1
                more = best == text or count[other] > count[best] or (count[other] == count[best] and other < best)
                best = other if more else best
                entry = before[entry]
        joins = best != text and count[best] >= shared
        leader[text] = best if joins else text
        for band in range(bands):
            entry = newest[key[text, band]]
            while entry >= 0:
                count[entry // bands] = 0
                entry = before[entry]
        if not joins:
            for band in range(bands):
                entry = text * bands + band
                before[entry] = newest[key[text, band]]
                newest[key[text, band]] = entry


_sign = kernel(_signatures)
_lead = kernel(_leaders)
