"""A restricted interpreter for the code family: nested calls of one argument on lists of digits, nothing else.

Untrusted text is parsed by hand, never evaluated by Python; words, depth and list sizes are limited, and no function
makes a list longer, so work is bounded by words x list length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

from tasks.mini.words import CLOSE, OPEN, VARIABLES

MAX_DEPTH = 16
MAX_LIST = 64

Values = list[int]

FUNCTIONS: dict[str, Callable[[Values], Values]] = {
    "rev": lambda v: v[::-1],
    "sort": sorted,
    "inc": lambda v: [(n + 1) % 10 for n in v],
    "dbl": lambda v: [2 * n % 10 for n in v],
    "tail": lambda v: v[1:],
    "init": lambda v: v[:-1],
    "uniq": lambda v: list(dict.fromkeys(v)),
    "acc": lambda v: [n % 10 for n in accumulate(v)],
    "rot": lambda v: v[1:] + v[:1],
    "neg": lambda v: [9 - n for n in v],
    "dif": lambda v: [(b - a) % 10 for a, b in pairwise(v)],
    "odd": lambda v: [n for n in v if n % 2],
}


class ProgramError(ValueError):
    """The text is not a program of this language, or goes over a limit."""


def parse(words: Sequence[str]) -> tuple[str, ...]:
    """Function names in the order they are applied, from ``f ( g ( x ) )``.

    Raises:
        ProgramError: anything else.
    """
    if len(words) > 3 * MAX_DEPTH + 1:
        raise ProgramError("too long")
    names: list[str] = []
    at = 0
    while at + 1 < len(words) and words[at + 1] == OPEN:
        if words[at] not in FUNCTIONS:
            raise ProgramError(f"unknown function {words[at]!r}")
        names.append(words[at])
        at += 2
    if not names or at >= len(words) or words[at] not in VARIABLES or any(w != CLOSE for w in words[at + 1 :]):
        raise ProgramError("not a nested call of one variable")
    if len(words) != 3 * len(names) + 1:
        raise ProgramError("unbalanced")
    return tuple(reversed(names))


def run(names: Sequence[str], values: Sequence[int]) -> Values:
    """Apply the functions in order to a list of digits.

    Raises:
        ProgramError: the list is too long.
    """
    if len(values) > MAX_LIST or len(names) > MAX_DEPTH:
        raise ProgramError("too large")
    result = list(values)
    for name in names:
        result = FUNCTIONS[name](result)
    return result
