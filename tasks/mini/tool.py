"""Tool use: look values up by calls in a fixed schema, then apply one function to the last result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import ClassVar, cast

import numpy as np

from tasks.base import Item, Split, Verdict
from tasks.mini.chain import steps
from tasks.mini.family import PLAIN, Family, Wording, Words, final_answer, private_split
from tasks.mini.words import (
    ASK,
    CALL,
    CALL_CLOSE,
    CALL_OPEN,
    DIGITS,
    FUNCTIONS,
    MARK,
    NO_RESULT,
    PUBLIC_FUNCTIONS,
    PUBLIC_TOOLS,
    TOOLS,
    USE,
)

MEANING = {name: tool for tool, (_, names) in TOOLS.items() for name in names}
_ALL = tuple(MEANING)
_PUBLIC = tuple(TOOLS[tool][1][0] for tool in PUBLIC_TOOLS)
_NAMES = 3
"""Names of each tool in prompts."""
_CALL_WORDS = 6


@dataclass(frozen=True)
class Tool(Family):
    """Prompts ``U w1 … a f ?``; the response is a call a word, each followed by its result, which is the next call's
    argument, then the step ``f sep state`` on the last result and the answer. The tables are new in each episode.

    Args:
        high: most calls of asked prompts.
        hardest: most calls of the harder split.
    """

    name: ClassVar[str] = "tool"
    high: int = 2
    hardest: int = 3

    def meaning(self, prompt: Words) -> str:
        """See `Family.meaning`: the tools in their order and the function. The argument does not count: with new tables in
        each episode it says nothing about the answer."""
        return " ".join((*(MEANING[name] for name in prompt[1:-3]), prompt[-2]))

    def reads(self, words: Words) -> bool:
        """See `Family.reads`; there may be any number of calls."""
        if len(words) < 5 or words[0] != USE or words[-1] != ASK:
            return False
        return words[-3] in DIGITS and words[-2] in FUNCTIONS and set(words[1:-3]) <= set(MEANING)

    def split_of(self, prompt: Words) -> Split:
        """See `Family.split_of`. What public words can say is ``train`` in private words, so that the base has seen no
        held-out sequence."""
        names, function = prompt[1:-3], prompt[-2]
        if len(names) <= self.high and function in PUBLIC_FUNCTIONS and all(name in _PUBLIC for name in names):
            return "public"
        return self._place(tuple(MEANING[name] for name in names), function)

    def _place(self, tools: Words, function: str) -> Split:
        """The split of private wordings of a sequence of tools and a function."""
        if len(tools) > self.high:
            return "harder"
        if function in PUBLIC_FUNCTIONS and all(tool in PUBLIC_TOOLS for tool in tools):
            return "train"
        return private_split(" ".join((*tools, function)))

    def draw(self, split: Split, rng: np.random.Generator) -> Words:
        """Public prompts use one name of two tools and the public functions."""
        low, high = (self.high + 1, self.hardest) if split == "harder" else (1, self.high)
        names, functions = (_PUBLIC, PUBLIC_FUNCTIONS) if split == "public" else (_ALL, FUNCTIONS)
        hops = int(rng.integers(low, high + 1))
        picked = (names[i] for i in rng.integers(0, len(names), hops))
        return (USE, *picked, DIGITS[int(rng.integers(10))], functions[int(rng.integers(len(functions)))], ASK)

    def size(self, split: Split) -> int:
        """See `Family.size`: exact."""
        return self._sizes[split]

    @cached_property
    def _sizes(self) -> Counter[str]:
        """Sequences of tools and functions by split, times their arguments and wordings; of those that public words can say,
        one wording is public."""
        sizes: Counter[str] = Counter()
        for hops, function in product(range(1, self.hardest + 1), FUNCTIONS):
            for tools in product(TOOLS, repeat=hops):
                public = hops <= self.high and function in PUBLIC_FUNCTIONS and set(tools) <= set(PUBLIC_TOOLS)
                sizes["public"] += len(DIGITS) * public
                sizes[self._place(tools, function)] += len(DIGITS) * (_NAMES**hops - public)
        return sizes

    def candidates(self, split: Split) -> Iterator[Words]:
        """See `Family.candidates`."""
        low, high = (self.high + 1, self.hardest) if split == "harder" else (1, self.high)
        names, functions = (_PUBLIC, PUBLIC_FUNCTIONS) if split == "public" else (_ALL, FUNCTIONS)
        return (
            (USE, *picked, argument, function, ASK)
            for hops in range(low, high + 1)
            for picked in product(names, repeat=hops)
            for argument in DIGITS
            for function in functions
        )

    def item(self, prompt: Words, rng: np.random.Generator) -> Item:
        """See `Family.item`; the payload's ``table`` gives each tool's result for each argument."""
        table = {tool: rng.integers(0, 10, 10).tolist() for tool in TOOLS}
        words = _calls(prompt, table)
        step = steps((prompt[-2],), int(words[-1]), rng, PLAIN)
        reference = " ".join((*words, *step, MARK, step[-1]))
        position = len(words) + len(step) - 1
        level = len(prompt) - 4
        name = "tool:" + "-".join(prompt) + ":" + "".join(str(v) for row in table.values() for v in row)
        return Item(name, "tool", level, " ".join(prompt), step[-1], reference, (position,), {"table": table})

    def respond(self, item: Item, rng: np.random.Generator, wording: Wording) -> str:
        """See `Family.respond`."""
        prompt = tuple(item.prompt.split())
        words = _calls(prompt, _table(item))
        step = steps((prompt[-2],), int(words[-1]), rng, wording)
        return " ".join((*words, *step, MARK, item.answer))

    def verify(self, item: Item, words: Words) -> Verdict:
        """Strict: begins with exactly the right calls and their true results, has no other call, and ends in one mark and
        the answer. Lenient: the right calls in order and the right answer after the last mark."""
        wanted = _calls(tuple(item.prompt.split()), _table(item))
        strict, lenient = final_answer(words, MARK)
        calls = [words[i : i + _CALL_WORDS + 1] for i, word in enumerate(words) if word == CALL]
        right = [wanted[i : i + _CALL_WORDS + 1] for i in range(0, len(wanted), _CALL_WORDS + 1)]
        called, answered = calls == right, lenient[:1] == (item.answer,)
        exact = called and strict == (item.answer,) and words[: len(wanted)] == wanted
        return Verdict(exact, called and answered and MARK in words)

    def formed(self, item: Item, words: Words) -> bool:
        """See `Family.formed`: one or more valid calls, of whatever tool, each with a result, and in the end one mark and
        one digit. The line between may be hidden."""
        answer, _ = final_answer(words, MARK)
        starts = [i for i, word in enumerate(words) if word == CALL]
        calls = [words[i : i + _CALL_WORDS] for i in starts]
        valid = all(len(c) == _CALL_WORDS and self.run(item, c) not in (None, NO_RESULT) for c in calls)
        first = list(range(0, len(starts) * (_CALL_WORDS + 1), _CALL_WORDS + 1))
        ends = answer is not None and len(answer) == 1 and answer[0] in DIGITS
        return bool(calls) and valid and starts == first and ends

    @staticmethod
    def run(item: Item, words: Sequence[str]) -> str | None:
        """Result of the call that ``words`` end in: a digit, ``none`` for a call that is not valid, None without one."""
        if len(words) == 0 or words[-1] != CALL_CLOSE:
            return None
        call = tuple(words[-_CALL_WORDS:])
        if len(call) < _CALL_WORDS or call[:2] != (CALL, CALL_OPEN) or call[2] not in TOOLS:
            return NO_RESULT
        tool, column, argument = call[2:5]
        if TOOLS[tool][0] != column or argument not in DIGITS:
            return NO_RESULT
        return DIGITS[_table(item)[tool][int(argument)]]


def _table(item: Item) -> dict[str, list[int]]:
    return cast(dict[str, list[int]], item.payload["table"])


def _calls(prompt: Words, table: dict[str, list[int]]) -> Words:
    """The calls that a prompt asks for, each followed by its result."""
    words: list[str] = []
    argument = prompt[-3]
    for name in prompt[1:-3]:
        tool = MEANING[name]
        column = TOOLS[tool][0]
        result = DIGITS[table[tool][int(argument)]]
        words += [CALL, CALL_OPEN, tool, column, argument, CALL_CLOSE, result]
        argument = result
    return tuple(words)
