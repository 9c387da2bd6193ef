"""Knowledge: a random table from keys of two syllables to numbers of two digits. Nothing but asking a key tells its
value, so transfer is the coverage of the keys asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, permutations, product
from typing import ClassVar

import numpy as np

from configs.errors import ConfigError, require
from tasks.base import Item, Split, Verdict
from tasks.mini.family import Family, Wording, Words, final_answer
from tasks.mini.words import ASK, DIGITS, FACT, LEADS, MARK, SYLLABLES

Key = tuple[str, str]
_LEAD_SPLITS: dict[str, Split] = dict(
    zip(LEADS, ("train", "train", "train", "heldout", "heldout", "provider"), strict=True)
)


@dataclass(frozen=True)
class Facts(Family):
    """Prompts ``lead K s1 s2 ?`` with six leads; the response is ``# d d``. Three leads are asked with, two
    are held out and one is the provider's: held-out items ask for the same facts in other words. Harder prompts ask for
    two keys at once.

    Args:
        keys: private keys, at most 292; the other keys are public.
        world: seed of the table.
    """

    name: ClassVar[str] = "facts"
    keys: int = 256
    world: int = 0

    def __post_init__(self) -> None:
        most = len(SYLLABLES) ** 2 - 32
        require(1 <= self.keys <= most, "n_facts", self.keys, f"must be between 1 and {most}")

    @cached_property
    def table(self) -> dict[Key, Words]:
        """Key -> two digits; the first ``keys`` of them are private."""
        rng = np.random.default_rng([self.world, 0xFAC7])
        keys = list(product(SYLLABLES, SYLLABLES))
        order, values = rng.permutation(len(keys)), rng.integers(0, 100, len(keys))
        return {keys[i]: tuple(f"{values[i]:02d}") for i in order}

    @cached_property
    def private(self) -> list[Key]:
        """The keys that only the teacher knows."""
        return list(self.table)[: self.keys]

    @cached_property
    def _private(self) -> frozenset[Key]:
        return frozenset(self.private)

    @cached_property
    def public(self) -> list[Key]:
        """The keys that everybody knows."""
        return list(self.table)[self.keys :]

    def meaning(self, prompt: Words) -> str:
        """See `Family.meaning`: the keys. Held-out and provider items mean what training items mean, in other words."""
        return " ".join(prompt[2:-1])

    def asks_for(self, prompt: Words) -> str:
        """See `Family.asks_for`: the words, since what is held out of a fact is its wording."""
        return " ".join(prompt)

    def reads(self, words: Words) -> bool:
        """See `Family.reads`; there may be any number of keys."""
        syllables = words[2:-1]
        framed = len(words) > 4 and words[0] in LEADS and words[1] == FACT and words[-1] == ASK
        return framed and len(syllables) % 2 == 0 and set(syllables) <= set(SYLLABLES)

    def split_of(self, prompt: Words) -> Split:
        """See `Family.split_of`."""
        keys = _keys(prompt)
        if len(keys) > 1:
            return "harder"
        return _LEAD_SPLITS[prompt[0]] if keys[0] in self._private else "public"

    def draw(self, split: Split, rng: np.random.Generator) -> Words:
        """A random key (two for the harder split) with a random lead."""
        keys = self.public if split == "public" else self.private
        picks = rng.permutation(len(keys))[: 2 if split == "harder" else 1]
        return _prompt([keys[i] for i in picks], int(rng.integers(len(LEADS))))

    def prompts(self, split: Split, n: int, rng: np.random.Generator) -> list[Words]:
        """Every key once with one lead, then every key with another: ``n`` queries cover min(n, keys) facts. With leads
        mixed, a student would learn the lead as part of the key.

        Raises:
            configs.errors.ConfigError: more asked than there are.
        """
        if split == "harder":
            return super().prompts(split, n, rng)
        if n > self.size(split):
            raise ConfigError("n", n, f"family 'facts' has only {self.size(split)} items of split {split!r}")
        keys = self.public if split == "public" else self.private
        leads = rng.permutation(_leads(split))
        order = (_prompt([keys[i]], lead) for lead in leads for i in rng.permutation(len(keys)))
        return list(islice(order, n))

    def candidates(self, split: Split) -> Iterator[Words]:
        """See `Family.candidates`."""
        keys = permutations(self.public if split == "public" else self.private, 2 if split == "harder" else 1)
        return (_prompt(list(chosen), lead) for chosen in keys for lead in _leads(split))

    def size(self, split: Split) -> int:
        """See `Family.size`."""
        if split == "harder":
            return self.keys * (self.keys - 1) * len(LEADS)
        return len(self.public if split == "public" else self.private) * len(_leads(split))

    def item(self, prompt: Words, rng: np.random.Generator) -> Item:
        """See `Family.item`; needs no randomness."""
        keys = _keys(prompt)
        answer = " ".join(digit for key in keys for digit in self.table[key])
        reference = f"{MARK} {answer}"
        steps = tuple(range(1, 1 + 2 * len(keys)))
        return Item("facts:" + "-".join(prompt), "facts", len(keys), " ".join(prompt), answer, reference, steps)

    def respond(self, item: Item, rng: np.random.Generator, wording: Wording) -> str:
        """See `Family.respond`; there is one way to say a fact."""
        return f"{MARK} {item.answer}"

    def verify(self, item: Item, words: Words) -> Verdict:
        """Strict: a mark and the digits, nothing else. Lenient: the first digits after the last mark."""
        answer = tuple(item.answer.split())
        _, lenient = final_answer(words, MARK)
        digits = tuple(word for word in lenient if word in DIGITS)
        return Verdict(words == (MARK, *answer), digits[: len(answer)] == answer)

    def formed(self, item: Item, words: Words) -> bool:
        """See `Family.formed`: a mark and as many digits as were asked for."""
        digits = words[1:]
        return words[:1] == (MARK,) and len(digits) == len(item.answer.split()) and all(d in DIGITS for d in digits)


def _leads(split: Split) -> list[int]:
    """Indices of the leads that the split's prompts have."""
    return [i for i, lead in enumerate(LEADS) if split in ("public", "harder", _LEAD_SPLITS[lead])]


def _prompt(keys: list[Key], lead: int) -> Words:
    return (LEADS[lead], FACT, *(syllable for key in keys for syllable in key), ASK)


def _keys(prompt: Words) -> list[Key]:
    syllables = prompt[2:-1]
    return [(syllables[i], syllables[i + 1]) for i in range(0, len(syllables), 2)]
