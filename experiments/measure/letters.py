"""Compact letter displays: many pairwise comparisons as a few letters. Knows no statistics: what is told apart is given.

Two that share a letter were not told apart, which is no evidence that they are equal; two that share none were. The letters
are found by insertion and absorption (Piepho 2004, doi 10.1198/1061860043515).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Sequence
from string import ascii_letters
from typing import TypeVar

T = TypeVar("T", bound=Hashable)

SINGLE = len(ascii_letters)
"""Letters that there are; what is beyond them has a number behind its letter, as in ``a1``."""

MOST = 4 * SINGLE
"""Letters of a display; of what needs more, a list of the pairs says more."""

ONE = re.compile(r"[a-zA-Z]\d*")


def letters(order: Sequence[T], apart: Collection[tuple[T, T]]) -> dict[T, str]:
    """By member the letters that it has, at least one.

    Args:
        order: members, each once; the first gets the letter a.
        apart: pairs that were told apart, either way round.

    Returns:
        letters of every member, one behind the other (`single`): two share one if and only if they are not in ``apart``. {}
        where `MOST` do not do.
    """
    sets: list[frozenset[T]] = [frozenset(order)] if order else []
    for one, other in apart:
        split = [group for group in sets if one in group and other in group]
        if not split:
            continue
        sets = [group for group in sets if group not in split]
        pieces = {group - {gone} for group in split for gone in (one, other)}
        # a set within another says nothing that the larger does not
        sets += [p for p in pieces if not any(p < q for q in (*pieces, *sets)) and p not in sets]
        if len(sets) > 2 * MOST:
            return {}
    place = {member: i for i, member in enumerate(order)}
    ranked = sorted(sets, key=lambda group: sorted(place[member] for member in group))
    if len(ranked) > MOST:
        return {}
    return {m: "".join(_letter(i) for i, group in enumerate(ranked) if m in group) for m in order}


def single(text: str) -> list[str]:
    """The letters of a member, each with its number if it has one."""
    return ONE.findall(text)


def place_of(letter: str) -> int:
    """Which letter of a display it is, from 0: a to z, A to Z, a1 to z1 and so on."""
    return int(letter[1:] or 0) * SINGLE + ascii_letters.index(letter[0])


def _letter(place: int) -> str:
    number, at = divmod(place, SINGLE)
    return ascii_letters[at] + (str(number) if number else "")
