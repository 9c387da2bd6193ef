"""What a capability family of the mini world provides, how prompts fall into splits, and how a response may be worded."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from configs.errors import ConfigError, require
from configs.identity import added
from tasks.base import Item, Split, Verdict

Words = tuple[str, ...]

HELDOUT_SHARE, PROVIDER_SHARE = 0.25, 0.15
"""Shares of what can be asked for, by meaning, that are held out, and kept for the provider."""

_GIVE_UP = 100
"""Draws in a row without a new prompt after which the prompts that are left are listed."""


@dataclass(frozen=True)
class Wording:
    """How often correct responses take each of their forms.

    Args:
        merge: share of steps written as one with the next, the state between them left out (hard to learn from).
        restate: share of responses in which every step repeats the state it starts from (easy to learn from).
        check: share of steps that end with a word of confirmation (teaches nothing).
        split: share of states written as the sum of two digits, the first 1 or 2 (hard to learn from where it is rare).
    """

    merge: float = 0.05
    restate: float = 0.15
    check: float = 0.05
    split: float = added(0.0)

    def __post_init__(self) -> None:
        for name in ("merge", "restate", "check", "split"):
            require(0 <= getattr(self, name) <= 1, f"wording.{name}", getattr(self, name), "must be in [0, 1]")


PLAIN = Wording(0.0, 0.0, 0.0)
"""The form of references: every step on its own, nothing besides."""


class Family(ABC):
    """One capability: its prompts, its right responses and its verifier. Stateless but for its configuration."""

    name: ClassVar[str]

    @abstractmethod
    def meaning(self, prompt: Words) -> str:
        """What a prompt asks for, the same for every wording of it."""

    def asks_for(self, prompt: Words) -> str:
        """What must not be learnt where it is scored (`Task.asks_for`): the meaning, unless splits share meanings."""
        return self.meaning(prompt)

    @abstractmethod
    def reads(self, words: Words) -> bool:
        """Whether the words are a prompt of this family, of any split or of none."""

    @abstractmethod
    def split_of(self, prompt: Words) -> Split:
        """The one split that a prompt belongs to. It follows from what the prompt means, never from a seed, so no two of
        the train, heldout, harder and provider splits share a meaning."""

    @abstractmethod
    def draw(self, split: Split, rng: np.random.Generator) -> Words:
        """A random prompt, near to the split's distribution; `prompts` keeps those that ``split_of`` agrees with."""

    @abstractmethod
    def candidates(self, split: Split) -> Iterator[Words]:
        """Every prompt that ``draw`` can make for the split, once, in a fixed order."""

    @abstractmethod
    def item(self, prompt: Words, rng: np.random.Generator) -> Item:
        """The prompt with its answer, reference and payload; ``rng`` draws hidden inputs and tables."""

    @abstractmethod
    def respond(self, item: Item, rng: np.random.Generator, wording: Wording) -> str:
        """One of the right ways to respond, tool results included."""

    @abstractmethod
    def size(self, split: Split) -> int:
        """How many distinct prompts `prompts` can find, or a bound below that."""

    @abstractmethod
    def verify(self, item: Item, words: Words) -> Verdict:
        """Judge the words of a response."""

    @abstractmethod
    def formed(self, item: Item, words: Words) -> bool:
        """Whether the words have the form of a response to this item, right or wrong."""

    def prompts(self, split: Split, n: int, rng: np.random.Generator) -> list[Words]:
        """``n`` distinct prompts of the split.

        Raises:
            configs.errors.ConfigError: the family has fewer.
        """
        found: dict[Words, None] = {}
        fruitless = 0
        while len(found) < n and fruitless < _GIVE_UP:
            words = self.draw(split, rng)
            fruitless = fruitless + 1 if words in found or self.split_of(words) != split else 0
            if fruitless == 0:
                found[words] = None
        if len(found) < n:  # drawing finds the last few too seldom
            rest = [words for words in self.candidates(split) if words not in found and self.split_of(words) == split]
            if len(found) + len(rest) < n:
                reason = f"family {self.name!r} has only {len(found) + len(rest)} items of split {split!r}"
                raise ConfigError("n", n, reason)
            found.update(dict.fromkeys(rest[i] for i in rng.permutation(len(rest))[: n - len(found)]))
        return list(found)


@lru_cache(maxsize=2**14)
def private_split(meaning: str) -> Split:
    """The split of a private meaning of an askable level, by its hash."""
    digest = hashlib.blake2b(meaning.encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    if place < HELDOUT_SHARE:
        return "heldout"
    return "provider" if place < HELDOUT_SHARE + PROVIDER_SHARE else "train"


def final_answer(words: Words, mark: str) -> tuple[Words | None, Words]:
    """What follows the mark: (strictly, None unless there is exactly one mark), (leniently, after the last mark, or all
    words where there is none)."""
    marks = [i for i, word in enumerate(words) if word == mark]
    after = words[marks[-1] + 1 :] if marks else words
    return (after if len(marks) == 1 else None), after
