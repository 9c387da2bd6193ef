"""The first word of each answer is the attacker's, the rest is the teacher's."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from attacks.base import Harvest, HarvestContext, Pool
from attacks.client import Client, Harvested
from attacks.harvest.selection import draw, quotas
from configs.errors import ConfigError, require
from lm.types import Sampling

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

Words = Literal["own", "public"]
WORDS = ("own", "public")
_LOOKED_AT = 8
"""Tokens of an own answer in which its first word is looked for."""


@dataclass(frozen=True)
class Prefill(Harvest):
    """Adaptive: meant against defenses that turn the teacher's text aside as it is sampled. Each answer begins with a word
    that the attacker puts at the start of the assistant's turn, and what follows is sampled from there; he learns the
    word and what follows it.

    He has no teacher to tell him which word. Either he takes the first word that his own model, before any query, says
    most probably to this very prompt (``own``); or a first word of the public data that everybody has, one of the ``most``
    commonest, as often as they occur there (``public``). The second knows nothing of the prompt, so it suits tasks
    whose answers all begin alike. A word with which the teacher would not have begun costs more than it saves: in the mini
    world an answer begins with a step of its own prompt, which a base model does not always guess.

    Args:
        words: where the words come from, see above.
        most: how many different public words.
        public_rows: rows of public data whose first words are counted.
    """

    name: ClassVar[str] = "prefill"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "arXiv 2606.25059 (a prefilled first word against antidistillation); which word: MoatBench"
    needs: ClassVar[tuple[str, ...]] = ("prefill",)
    adaptive: ClassVar[bool] = True

    words: Words = "own"
    most: int = 4
    public_rows: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.words not in WORDS:
            raise ConfigError("words", self.words, "is no source of first words", WORDS)
        require(self.most >= 1, "most", self.most, "must be at least 1")
        require(self.public_rows >= 1, "public_rows", self.public_rows, "must be at least 1")

    def run(self, client: Client, pool: Pool, context: HarvestContext) -> Harvested:
        """See `Harvest.run`. Raises `ConfigError`, before anything is asked, where the API takes no prefill or a family of
        the pool has too few prompts."""
        sold = client.interface.prefill
        require(sold, "api.prefill", sold, "prefill needs an API that sells it (try api=full)")
        items = draw(pool, quotas(pool, client.remaining), context.rng)
        if self.words == "own":
            words = own_first_words(context.student(), [pool.texts[int(i)] for i in items])
        else:
            assert context.public is not None, "everybody has public data"
            common = first_words(client.codec.decode(context.public(self.public_rows).completions), self.most)
            share = np.array(list(common.values()), np.float64)
            drawn = context.rng.choice(len(common), len(items), p=share / share.sum()) if common else ()
            words = [list(common)[int(place)] for place in drawn]
        return client.ask(items, prefill=words or "")


def own_first_words(student: LanguageModel, texts: list[str]) -> list[str]:
    """The word with which the student's most probable answer to each prompt begins, "" where it says nothing."""
    sampling, seeds = Sampling(temperature=0.0, max_tokens=_LOOKED_AT), np.zeros(len(texts), np.int64)
    said = student.generate(student.encode_prompts(texts), sampling, seeds).tokens
    return [next(iter(text.split()), "") for text in student.decode(said)]


def first_words(texts: list[str], most: int) -> dict[str, int]:
    """The commonest words with which these texts begin, and how many do; of equally common ones the first."""
    return dict(Counter(text.split()[0] for text in texts if text.split()).most_common(most))
