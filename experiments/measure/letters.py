"""Compact letter displays: many pairwise comparisons as a few letters. Knows no statistics: what is told apart is given.

Two that share a letter were not told apart, which is no evidence that they are equal; two that share none were. The letters
are found by insertion and absorption (Piepho 2004, doi 10.1198/1061860043515).
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from string import ascii_letters
from typing import TypeVar

T = TypeVar("T", bound=Hashable)

MOST = len(ascii_letters)
"""Letters that there are; a display that needs more says nothing at a glance."""


def letters(order: Sequence[T], apart: Collection[tuple[T, T]]) -> dict[T, str]:
    """By member the letters that it has, at least one.

    Args:
        order: members, each once; the first gets the letter a.
        apart: pairs that were told apart, either way round.

    Returns:
        letters of every member: two share one if and only if they are not in ``apart``. {} where `MOST` do not do.
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
    return {m: "".join(ascii_letters[i] for i, group in enumerate(ranked) if m in group) for m in order}
