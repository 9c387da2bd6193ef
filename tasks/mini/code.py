"""Coding: write a nested call that does what the prompt's words ask for; it is run on hidden lists."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import ClassVar, cast

import numpy as np

from tasks.base import Item, Split, Verdict
from tasks.mini.family import PLAIN, Family, Wording, Words, final_answer, private_split
from tasks.mini.interpreter import ProgramError, parse, run
from tasks.mini.words import ASK, CLOSE, CODE, LIST_FUNCTIONS, MARK, OPEN, PUBLIC_LIST_FUNCTIONS, VARIABLES

MEANING = {name: function for function, names in LIST_FUNCTIONS.items() for name in names}
_ALL = tuple(MEANING)
_PUBLIC = tuple(LIST_FUNCTIONS[function][0] for function in PUBLIC_LIST_FUNCTIONS)
_NAMES = 3
"""Names of each function in prompts."""

_PROBES = [[int(place) for place in np.random.default_rng([0xC0DE, i]).integers(0, 10, 4 + i % 4)] for i in range(16)]
"""Lists like the hidden ones. Programs that agree on all of them count as the same: on 200 lists no more asked programs
are told apart."""


@dataclass(frozen=True)
class Code(Family):
    """Prompts ``C w1 … wm ?``; the response is ``# f ( g ( x ) )``, without a trace.

    Args:
        low, high: functions of asked prompts.
        hardest: most functions of the harder split.
        lists: hidden lists a program is run on.
    """

    name: ClassVar[str] = "code"
    low: int = 2
    high: int = 3
    hardest: int = 5
    lists: int = 8

    def meaning(self, prompt: Words) -> str:
        """See `Family.meaning`: the function on lists that the program computes, as a hash of its results."""
        return _computed(tuple(MEANING[name] for name in prompt[1:-1]))

    def reads(self, words: Words) -> bool:
        """See `Family.reads`; there may be any number of functions."""
        return len(words) > 2 and words[0] == CODE and words[-1] == ASK and set(words[1:-1]) <= set(MEANING)

    def split_of(self, prompt: Words) -> Split:
        """See `Family.split_of`. Harder is what no program of an asked length computes. What a public program computes is
        ``train`` in private words, so that the base knows the meaning of no held-out item."""
        names = prompt[1:-1]
        if len(names) <= self.high and all(name in _PUBLIC for name in names):
            return "public"
        return self._place(self.meaning(prompt))

    def _place(self, meaning: str) -> Split:
        if meaning not in self._meanings:
            return "harder"
        return "train" if meaning in self._public_meanings else private_split(meaning)

    @cached_property
    def _meanings(self) -> frozenset[str]:
        """What programs of at most ``high`` functions compute."""
        return frozenset(map(_computed, _programs(tuple(LIST_FUNCTIONS), 1, self.high)))

    @cached_property
    def _public_meanings(self) -> frozenset[str]:
        return frozenset(map(_computed, _programs(PUBLIC_LIST_FUNCTIONS, 1, self.high)))

    def draw(self, split: Split, rng: np.random.Generator) -> Words:
        """Public prompts use one name of four functions and may be a single call."""
        if split == "public":
            return self.compose(int(rng.integers(1, self.high + 1)), rng, _PUBLIC)
        low, high = (self.high + 1, self.hardest) if split == "harder" else (self.low, self.high)
        return self.compose(int(rng.integers(low, high + 1)), rng)

    @staticmethod
    def compose(m: int, rng: np.random.Generator, names: Words = _ALL) -> Words:
        """A prompt of ``m`` random names."""
        return (CODE, *(names[i] for i in rng.integers(0, len(names), m)), ASK)

    def candidates(self, split: Split) -> Iterator[Words]:
        """See `Family.candidates`."""
        low, high = (self.high + 1, self.hardest) if split == "harder" else (self.low, self.high)
        every = _programs(_PUBLIC, 1, self.high) if split == "public" else _programs(_ALL, low, high)
        return ((CODE, *names, ASK) for names in every)

    def size(self, split: Split) -> int:
        """See `Family.size`: exact, but for ``harder``, of which only the shortest programs are counted."""
        return self._harder_size if split == "harder" else self._sizes[split]

    @cached_property
    def _sizes(self) -> Counter[str]:
        """Programs that may be asked by split, times their wordings; of those that public words can say, one is public."""
        sizes = Counter({"public": sum(1 for _ in self.candidates("public"))})
        for functions in _programs(tuple(LIST_FUNCTIONS), self.low, self.high):
            worded = all(function in PUBLIC_LIST_FUNCTIONS for function in functions)
            sizes[self._place(_computed(functions))] += _NAMES ** len(functions) - worded
        return sizes

    @cached_property
    def _harder_size(self) -> int:
        shortest = _programs(tuple(LIST_FUNCTIONS), self.high + 1, self.high + 1)
        return sum(_NAMES ** len(functions) for functions in shortest if _computed(functions) not in self._meanings)

    def item(self, prompt: Words, rng: np.random.Generator) -> Item:
        """See `Family.item`; the payload's ``inputs`` are the hidden lists."""
        answer = " ".join(_nested([MEANING[name] for name in prompt[1:-1]], VARIABLES[0]))
        inputs = [rng.integers(0, 10, int(rng.integers(4, 8))).tolist() for _ in range(self.lists)]
        return Item(
            "code:" + "".join(prompt),
            "code",
            len(prompt) - 2,
            " ".join(prompt),
            answer,
            f"{MARK} {answer}",
            payload={"inputs": inputs},
        )

    def respond(self, item: Item, rng: np.random.Generator, wording: Wording) -> str:
        """See `Family.respond`: the variable may have any of three names."""
        variable = VARIABLES[0 if wording is PLAIN else int(rng.integers(3))]
        functions = [MEANING[name] for name in item.prompt.split()[1:-1]]
        return " ".join((MARK, *_nested(functions, variable)))

    def verify(self, item: Item, words: Words) -> Verdict:
        """Strict: one mark first, then a program that agrees on every hidden list. Lenient: such a program after the last
        mark."""
        strict, lenient = final_answer(words, MARK)
        right = _agrees(item, lenient)
        return Verdict(right and strict is not None and words[0] == MARK, right)

    def formed(self, item: Item, words: Words) -> bool:
        """See `Family.formed`: a mark and a program of the language."""
        try:
            return words[:1] == (MARK,) and bool(parse(words[1:]))
        except ProgramError:
            return False


def _programs(names: Words, low: int, high: int) -> Iterator[Words]:
    """Every sequence of ``low`` to ``high`` of the names."""
    return (sequence for m in range(low, high + 1) for sequence in product(names, repeat=m))


@lru_cache(maxsize=2**16)
def _computed(functions: Words) -> str:
    """Hash of what a program, its functions in the order they are applied, makes of the probes."""
    return hashlib.blake2b(repr(_results(functions)).encode(), digest_size=12).hexdigest()


@lru_cache(maxsize=2**12)
def _results(functions: Words) -> list[list[int]]:
    """What a program makes of the probes. Results of its beginning are kept, since programs are gone through in order."""
    return [run(functions[-1:], values) for values in _results(functions[:-1])] if functions else _PROBES


def _nested(functions: Sequence[str], variable: str) -> Words:
    """The first function is applied first, so it is the innermost."""
    head = [word for function in reversed(functions) for word in (function, OPEN)]
    return (*head, variable, *(CLOSE,) * len(functions))


def _agrees(item: Item, program: Words) -> bool:
    try:
        written = parse(program)
    except ProgramError:
        return False
    wanted = parse(item.answer.split())
    return all(run(written, values) == run(wanted, values) for values in cast(list[list[int]], item.payload["inputs"]))
