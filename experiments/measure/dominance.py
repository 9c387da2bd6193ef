"""Methods that another beats whatever the other side does. Knows quantities only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

from experiments.measure.estimate import estimates
from experiments.measure.quantity import Quantity, difference


class Dominated(NamedTuple):
    """One method, beaten by another against everything that the other side can do.

    Args:
        method: its place.
        by: the place of the one that beats it.
        shown: whether the interval of the paired difference says so against each; else the values alone do.
    """

    method: int
    by: int
    shown: bool


def dominated(costs: Sequence[Sequence[Quantity]]) -> list[Dominated]:
    """The strictly dominated methods, each with the one that beats it most clearly.

    A difference is taken seed by seed and item by item, and all differences of a game together say how much seeds move one.
    ``shown`` asks that every interval excludes 0, so that the claim of one pair is wrong in at most 5 % of cases (an
    intersection-union test, Berger 1982, which needs no correction for the number of columns); pairs are not corrected for
    their number.

    Args:
        costs: (methods, what they meet) of what each loses; each wants little.
    """
    pairs = list(permutations(range(len(costs)), 2))
    gaps = [difference(mine, other) for i, j in pairs if i < j for mine, other in zip(costs[i], costs[j], strict=True)]
    printed, width = estimates(gaps), len(costs[0]) if costs else 0
    said = {}
    for at, (i, j) in enumerate(pair for pair in pairs if pair[0] < pair[1]):
        own = printed[at * width : (at + 1) * width]
        said[i, j] = [(e.value or 0.0, e.resolved) for e in own]
        said[j, i] = [(-value, resolved) for value, resolved in said[i, j]]
    found = []
    for i in range(len(costs)):
        against = [(j, said[i, j]) for j in range(len(costs)) if j != i]
        beaten = [
            (all(resolved for _, resolved in gaps), min(value for value, _ in gaps), -j)
            for j, gaps in against
            if all(value > 0 for value, _ in gaps)
        ]
        if beaten:
            shown, _, by = max(beaten)
            found.append(Dominated(i, -by, shown))
    return found
