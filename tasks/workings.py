"""Workings of reasoning-gym problems, written step by step: right by construction, since a step computes what it states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def _chain_sum(metadata: Mapping[str, Any]) -> Iterator[str]:
    """A line for each operator, from the left: ``41 + 28 = 69``."""
    first, *rest = str(metadata["expression"]).split()
    total = int(first)
    for sign, term in zip(rest[::2], rest[1::2], strict=True):
        after = total + int(term) if sign == "+" else total - int(term)
        yield f"{total} {sign} {term} = {after}"
        total = after


def _gcd(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Euclid's algorithm, the result of two numbers then with the next: a line for each remainder."""
    first, *rest = (int(number) for number in metadata["numbers"])
    for number in rest:
        while number:
            yield f"{first} mod {number} = {first % number}"
            first, number = number, first % number


WORKINGS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {"chain_sum": _chain_sum, "gcd": _gcd}
"""By dataset, from the ``metadata`` of an entry to the lines of its working. The last line's result is the answer, but for a
sum of one term. A change of the lines raises `tasks.reasoning_gym.ReasoningGym.version`."""
