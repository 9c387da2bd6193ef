"""Reasoning: apply a chain of bijections of Z10, one stated step after the other. Chance is 1 in 10."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, groupby, permutations, product
from math import perm
from typing import ClassVar, NamedTuple

import numpy as np

from tasks.base import Item, Split, Verdict
from tasks.mini.family import PLAIN, Family, Wording, Words, final_answer, private_split
from tasks.mini.words import ASK, CHECK, DIGITS, FUNCTIONS, JOIN, MARK, PUBLIC_FUNCTIONS, SEPARATORS

PARTS = 2
"""A state that is split is written as 1 and the rest, or as 2 and the rest, mod 10."""


def apply(function: str, state: int) -> int:
    """``function`` (a word of FUNCTIONS) on a state of Z10."""
    operand = int(function[1])
    return (state + operand if function[0] == "+" else state * operand) % 10


class Audit(NamedTuple):
    """What a parser finds in a trace: states stated, how many are wrong, states left out by merging, and whether the
    whole trace parses as steps of the asked chain."""

    stated: int
    wrong: int
    merged: int
    parses: bool


@dataclass(frozen=True)
class Chain(Family):
    """Prompts ``v f1 … fk ?``; a step is ``[v] f… sep state [ok]``, a state a digit or the sum of two.

    Args:
        low, high: steps of asked prompts.
        hardest: most steps of the harder split, which begins at ``high + 1``.
    """

    name: ClassVar[str] = "chain"
    low: int = 4
    high: int = 6
    hardest: int = 8

    def meaning(self, prompt: Words) -> str:
        """See `Family.meaning`: the functions in their order, whatever the start. Neighbouring sums commute, and so do
        neighbouring products, so their order does not count."""
        return " ".join(name for _, run in groupby(prompt[1:-1], key=lambda f: f[0]) for name in sorted(run))

    def reads(self, words: Words) -> bool:
        """See `Family.reads`; functions may repeat, and there may be any number of them."""
        return len(words) > 2 and words[0] in DIGITS and words[-1] == ASK and set(words[1:-1]) <= set(FUNCTIONS)

    def split_of(self, prompt: Words) -> Split:
        """See `Family.split_of`; prompts shorter than ``low`` that are not public count as train and are never asked."""
        functions = prompt[1:-1]
        if len(functions) > self.high:
            return "harder"
        if all(f in PUBLIC_FUNCTIONS for f in functions):
            return "public"
        return private_split(self.meaning(prompt)) if len(functions) >= self.low else "train"

    def draw(self, split: Split, rng: np.random.Generator) -> Words:
        """Public prompts repeat functions and may be short; others have distinct functions."""
        if split == "public":
            return self.compose(int(rng.integers(1, self.high + 1)), rng, PUBLIC_FUNCTIONS, repeat=True)
        low, high = (self.high + 1, self.hardest) if split == "harder" else (self.low, self.high)
        return self.compose(int(rng.integers(low, high + 1)), rng)

    @staticmethod
    def compose(k: int, rng: np.random.Generator, functions: Words = FUNCTIONS, repeat: bool = False) -> Words:
        """A prompt of ``k`` random functions."""
        picks = rng.integers(0, len(functions), k) if repeat else rng.permutation(len(functions))[:k]
        return (DIGITS[int(rng.integers(10))], *(functions[i] for i in picks), ASK)

    def candidates(self, split: Split) -> Iterator[Words]:
        """See `Family.candidates`."""
        return ((start, *functions, ASK) for functions in self._sequences(split) for start in DIGITS)

    def _sequences(self, split: Split) -> Iterator[Words]:
        if split == "public":
            return (s for k in range(1, self.high + 1) for s in product(PUBLIC_FUNCTIONS, repeat=k))
        low, high = (self.high + 1, self.hardest) if split == "harder" else (self.low, self.high)
        return (s for k in range(low, high + 1) for s in permutations(FUNCTIONS, k))

    def size(self, split: Split) -> int:
        """See `Family.size`: exact."""
        if split == "public":
            return 10 * sum(int(len(PUBLIC_FUNCTIONS) ** k) for k in range(1, self.high + 1))
        if split == "harder":
            return 10 * sum(perm(len(FUNCTIONS), k) for k in range(self.high + 1, self.hardest + 1))
        return self._sizes[split]

    @cached_property
    def _sizes(self) -> Counter[str]:
        """Prompts of the splits that share the asked lengths; the start never decides."""
        places = Counter(self.split_of((DIGITS[0], *functions, ASK)) for functions in self._sequences("train"))
        return Counter({split: len(DIGITS) * count for split, count in places.items()})

    def item(self, prompt: Words, rng: np.random.Generator) -> Item:
        """See `Family.item`; needs no randomness."""
        state = int(prompt[0])
        for function in prompt[1:-1]:
            state = apply(function, state)
        item = Item("chain:" + "".join(prompt), "chain", len(prompt) - 2, " ".join(prompt), str(state))
        words = steps(prompt[1:-1], int(prompt[0]), rng, PLAIN)
        marks = tuple(range(2, len(words), 3))
        return Item(
            item.id, item.family, item.level, item.prompt, item.answer, " ".join((*words, MARK, str(state))), marks
        )

    def respond(self, item: Item, rng: np.random.Generator, wording: Wording) -> str:
        """See `Family.respond`."""
        prompt = item.prompt.split()
        return " ".join((*steps(prompt[1:-1], int(prompt[0]), rng, wording), MARK, item.answer))

    def verify(self, item: Item, words: Words) -> Verdict:
        """Strict: one mark, followed by the answer and nothing else. Lenient: the first digit after the last mark, or
        the last digit where there is no mark. Whether there is a trace is not asked: it may be hidden."""
        strict, lenient = final_answer(words, MARK)
        digits = tuple(word for word in lenient if word in DIGITS)
        candidate = digits[:1] if MARK in words else digits[-1:]
        return Verdict(strict == (item.answer,), candidate == (item.answer,))

    def formed(self, item: Item, words: Words) -> bool:
        """See `Family.formed`: ends in one mark and one digit. The trace is not looked at: it may be hidden."""
        answer, _ = final_answer(words, MARK)
        return answer is not None and len(answer) == 1 and answer[0] in DIGITS

    def audit(self, item: Item, words: Words) -> Audit:
        """Check every stated state of a trace against the chain that was asked for."""
        prompt = item.prompt.split()
        return audit(prompt[1:-1], int(prompt[0]), _trace(words))

    def sound(self, item: Item, words: Words) -> bool | None:
        """Whether a trace derives the answer without a wrong state, or, where it is a bare list of states (a summary),
        whether these are states of the chain in their order; None without a trace."""
        trace = _trace(words)
        listed = _listed(trace)
        if listed is None:
            found = self.audit(item, words)
            return found.parses and found.wrong == 0
        prompt = item.prompt.split()
        states = iter(list(accumulate(prompt[1:-1], lambda s, f: apply(f, s), initial=int(prompt[0])))[1:])
        return all(state in states for state in listed) if trace else None


def _trace(words: Words) -> Words:
    return words[: words.index(MARK)] if MARK in words else words


def _listed(trace: Words) -> list[int] | None:
    """The states of a trace that is nothing but states; None where there is more in it."""
    states, at = list[int](), 0
    while at < len(trace):
        state, end = _read(trace, at)
        if state is None:
            return None
        states.append(state)
        at = end
    return states


def _read(words: Sequence[str], at: int) -> tuple[int | None, int]:
    """The state that is written there, a digit or the sum of two, and where it ends; (None, at) where there is none."""
    if at >= len(words) or words[at] not in DIGITS:
        return None, at
    if at + 2 < len(words) and words[at + 1] == JOIN and words[at + 2] in DIGITS:
        return (int(words[at]) + int(words[at + 2])) % 10, at + 3
    return int(words[at]), at + 1


def _written(state: int, rng: np.random.Generator, wording: Wording) -> list[str]:
    """A state in words."""
    if wording.split and rng.random() < wording.split:
        first = int(rng.integers(1, 1 + PARTS))
        return [DIGITS[first], JOIN, DIGITS[(state - first) % 10]]
    return [DIGITS[state]]


def steps(functions: list[str] | Words, state: int, rng: np.random.Generator, wording: Wording) -> list[str]:
    """The words of a trace. References use the first separator; other wordings draw one of three each step."""
    words: list[str] = []
    restates = rng.random() < wording.restate
    i = 0
    while i < len(functions):
        take = 2 if i + 1 < len(functions) and rng.random() < wording.merge else 1
        if restates:
            words.append(DIGITS[state])
        for function in functions[i : i + take]:
            words.append(function)
            state = apply(function, state)
        words += [SEPARATORS[0 if wording is PLAIN else int(rng.integers(3))], *_written(state, rng, wording)]
        if rng.random() < wording.check:
            words.append(CHECK)
        i += take
    return words


def audit(functions: list[str], state: int, trace: Words) -> Audit:
    """Parse ``[v] f… sep state [ok]`` repeatedly; an unparsable rest ends the audit."""
    stated = wrong = merged = at = done = 0
    while at < len(trace):
        if trace[at] in DIGITS:
            stated, wrong, at = stated + 1, wrong + (int(trace[at]) != state), at + 1
        taken = 0
        while at < len(trace) and done < len(functions) and trace[at] == functions[done]:
            state, at, done, taken = apply(functions[done], state), at + 1, done + 1, taken + 1
        told, end = _read(trace, at + 1)
        if taken == 0 or at >= len(trace) or trace[at] not in SEPARATORS or told is None:
            return Audit(stated, wrong, merged, False)
        stated, wrong, merged, at = stated + 1, wrong + (told != state), merged + taken - 1, end
        at += at < len(trace) and trace[at] == CHECK
    return Audit(stated, wrong, merged, done == len(functions))
