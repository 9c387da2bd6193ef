"""Prompts spread as widely as can be over those that the attacker owns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from attacks.base import Harvest, HarvestContext, Pool
from attacks.client import Client, Harvested
from attacks.harvest.selection import interleaved, quotas
from configs.errors import require

_DIMENSIONS = 1024


@dataclass(frozen=True)
class Coverage(Harvest):
    """Asks, within each family, prompts of which none is far from all that are asked: greedy k-center, each next one the
    farthest from those before it (at most twice the radius of the best choice; Gonzalez 1985).

    What a prompt looks like is a vector of its own words: runs of up to ``ngrams`` words, counted, hashed with signs into
    1,024 places (Weinberger et al. 2009) and scaled to length 1. So nothing is trained and nothing needs an answer, unlike
    in ActiveThief's k-center strategy, which spreads the student's own output vectors. The first prompt is drawn at random.
    What a family gets of the budget stays the attacker's mix, and a harvest that is cut short has covered as well as its
    size allows. Asking differs from `Random` only as far as the pool (data budget) exceeds the query budget.

    Args:
        ngrams: longest run of words that is counted.
    """

    name: ClassVar[str] = "coverage"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "Sener & Savarese 2018, arXiv 1708.00489, algorithm 1 (k-center greedy); Pal et al. 2020 (ActiveThief), AAAI 34(01)"
    )

    ngrams: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.ngrams >= 1, "ngrams", self.ngrams, "must be at least 1")

    def run(self, client: Client, pool: Pool, context: HarvestContext) -> Harvested:
        """See `Harvest.run`. Raises `ConfigError` where a family of the pool has too few prompts for the budget."""
        chosen = []
        for family, count in quotas(pool, client.remaining).items():
            owned = np.flatnonzero(pool.family == family)
            if count:
                vectors_PD = word_vectors([pool.texts[int(i)] for i in owned], self.ngrams)
                chosen.append(owned[farthest_first(vectors_PD, count, int(context.rng.integers(len(owned))))])
        return client.ask(interleaved(chosen, context.rng))


def word_vectors(texts: Sequence[str], ngrams: int) -> NDArray[np.float32]:
    """(P, 1024) unit vectors of the runs of up to ``ngrams`` words of each text; 0 for a text without words."""
    hashed = cache(lambda run: crc32(run.encode()))
    words = [text.lower().split() for text in texts]
    runs = [
        [hashed(" ".join(row[at : at + n])) for n in range(1, ngrams + 1) for at in range(len(row) - n + 1)]
        for row in words
    ]
    row = np.repeat(np.arange(len(texts)), [len(found) for found in runs])
    code = np.array([code for found in runs for code in found], np.int64)
    vectors = np.zeros((len(texts), _DIMENSIONS), np.float32)
    np.add.at(vectors, (row, code % _DIMENSIONS), np.where(code >> 31, 1.0, -1.0))
    length = np.sqrt((vectors**2).sum(1, keepdims=True))
    return np.asarray(vectors / np.maximum(length, np.float32(1e-9)))


def farthest_first(vectors_PD: NDArray[np.floating], count: int, first: int) -> NDArray[np.int64]:
    """(count,) rows, each the farthest from all before it, of equally far ones the first; no row twice.

    Args:
        vectors_PD: of P rows, at least ``count``.
        count: how many.
        first: which comes first.
    """
    nearest, chosen = np.full(len(vectors_PD), np.inf), np.empty(count, np.int64)
    lengths = (vectors_PD**2).sum(1)
    for place in range(count):
        at = first if place == 0 else int(nearest.argmax())
        chosen[place] = at
        nearest = np.minimum(nearest, np.maximum(lengths + lengths[at] - 2 * vectors_PD @ vectors_PD[at], 0.0))
        nearest[chosen[: place + 1]] = -1.0
    return chosen
