"""Prompts of the attacker's own making, put together from those that he has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from attacks.base import Harvest, HarvestContext, Pool
from attacks.client import Client, Harvested
from attacks.harvest.selection import draw, quotas
from configs.errors import require

_TRIES = 20
"""Attempts at each new text before a prompt of the pool is asked in its place."""


@dataclass(frozen=True)
class SelfInstruct(Harvest):
    """Asks texts that nobody wrote: two prompts of a family are recombined, for a share ``own`` of each family's budget.

    Self-Instruct has a language model write new instructions after the pattern of some that it is shown, and keeps those
    that are unlike all others. Here the model is a rule: a span of words of one prompt is replaced by a span of another
    prompt of its family with the same kinds of words (`kind`), so that the new text has the form of the first. A text that
    the pool holds, or that was made before, is not kept. Where no new text is found, a prompt of the pool is asked instead.
    Nobody says whether a recombined text makes sense, or checks its answer. Nor does he know which prompts are held out: in
    the mini world, at ``own`` = .5, 44 to 68 of the 1,064 new texts ask what a scored item asks (seeds 0 to 2). He pays for
    them as for others; the answers are not learnt from.

    Each new text is charged to the data budget as a prompt of the pool is. With ``own`` = 0 the requests are those of
    `Random`.

    Args:
        own: share of the budget for texts of his own making, in [0, 1].
        longest: longest span that is replaced, as a share of the prompt's words, in (0, 1]; at least one word.
    """

    name: ClassVar[str] = "self_instruct"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Wang et al. 2023 (Self-Instruct), arXiv 2212.10560; recombination by rule: MoatBench"
    own_texts: ClassVar[bool] = True

    own: float = 0.5
    longest: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.own <= 1, "own", self.own, "must lie in [0, 1]")
        require(0 < self.longest <= 1, "longest", self.longest, "must be more than 0 and at most 1")

    def run(self, client: Client, pool: Pool, context: HarvestContext) -> Harvested:
        """See `Harvest.run`. Raises `ConfigError` where a family of the pool has too few prompts for the budget."""
        counts = quotas(pool, client.remaining)
        asked = draw(pool, counts, context.rng)
        texts: list[str] = []
        places: list[NDArray[np.int64]] = []
        for family, count in counts.items():
            members = [pool.texts[int(i)] for i in np.flatnonzero(pool.family == family)]
            made = recombined(members, round(self.own * count), self.longest, context.rng, {*pool.texts, *texts})
            places.append(np.flatnonzero(pool.family[asked] == family)[: len(made)])
            texts += made
        if texts:
            asked[np.concatenate(places)] = client.own(texts)
        return client.ask(asked)


def recombined(
    prompts: Sequence[str], count: int, longest: float, rng: np.random.Generator, known: set[str]
) -> list[str]:
    """Up to ``count`` new texts, none of them in ``known`` or twice; fewer where they are hard to find.

    Args:
        prompts: of one family.
        count: how many are wanted.
        longest: see `SelfInstruct`.
        rng: explicit generator.
        known: texts that will not do; left as it is.
    """
    if count == 0:
        return []
    words = [text.split(" ") for text in prompts]
    kinds = [[kind(word) for word in row] for row in words]
    made: dict[str, None] = {}
    for _ in range(count):
        for _ in range(_TRIES):
            a, b = (int(i) for i in rng.integers(len(words), size=2))
            length = int(rng.integers(1, max(1, int(longest * len(words[a]))) + 1))
            start = int(rng.integers(len(words[a]) - length + 1))
            form = kinds[a][start : start + length]
            fits = [j for j in range(len(words[b]) - length + 1) if kinds[b][j : j + length] == form]
            if not fits:
                continue
            at = fits[int(rng.integers(len(fits)))]
            text = " ".join([*words[a][:start], *words[b][at : at + length], *words[a][start + length :]])
            if text not in known and text not in made:
                made[text] = None
                break
    return list(made)


def kind(word: str) -> str:
    """What a word looks like: each run of letters is an ``a``, each run of digits a ``0``, anything else itself."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "0", word))
