"""Which values of a column are told apart, and what follows: differences, what is bold, letters.

All pairs of a column are compared, paired by seed and item, and corrected for their number (Holm); rows that stand for
themselves (the reference) are left out. With one seed nothing is told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from experiments.measure.estimate import Estimate, estimates
from experiments.measure.letters import letters
from experiments.measure.quantity import Quantity, difference
from experiments.measure.verdict import HolmVerdict, verdicts


class ComparedColumn(NamedTuple):
    """All pairs of a column.

    Args:
        order: numbers of the rows that have a value, best first.
        values: theirs.
        apart: pairs of these that are told apart.
        pairs: how many were compared.
    """

    order: tuple[int, ...]
    values: tuple[float, ...]
    apart: frozenset[tuple[int, int]]
    pairs: int

    def told_apart(self, one: int, other: int) -> bool:
        """Whether two rows are."""
        return (one, other) in self.apart or (other, one) in self.apart


def compared(column: Mapping[int, Quantity], better: str) -> ComparedColumn:
    """Compare every pair of a column's rows.

    Args:
        column: by number of the row, its value seed by seed.
        better: ``lower`` or ``higher``.
    """
    known = {i: q for i, q in column.items() if q.known}
    order = sorted(known, key=lambda i: (known[i].point if better == "lower" else -known[i].point, i))
    pairs = list(combinations(order, 2))
    told = corrected_differences([(known[a], known[b]) for a, b in pairs])
    apart = {pair for pair, verdict in zip(pairs, told, strict=True) if verdict.reading in ("lost", "gained")}
    return ComparedColumn(tuple(order), tuple(known[i].point for i in order), frozenset(apart), len(pairs))


def corrected_differences(pairs: Sequence[tuple[Quantity, Quantity]]) -> list[HolmVerdict]:
    """The first of each pair less the second, corrected for all of them together."""
    return verdicts(estimates([difference(a, b) for a, b in pairs]))


def less_than(column: Sequence[Quantity], base: int) -> list[Estimate]:
    """The values of a column less that of one row, whose own place is blank."""
    others = [i for i in range(len(column)) if i != base]
    told = corrected_differences([(column[i], column[base]) for i in others])
    found = [Estimate(None, reason="itself") for _ in column]
    for i, verdict in zip(others, told, strict=True):
        found[i] = verdict.estimate
    return found


def best_of(found: ComparedColumn, rule: str) -> set[int]:
    """Numbers of the rows that are marked as best, see `experiments.report.paper.table_spec.TableSpec`."""
    if len(found.order) < 2 or rule == "none":
        return set()
    first, *others = found.order
    near = {i for i in others if not found.told_apart(first, i)}
    if rule == "alone":
        return set() if near else {first}
    equal = {i for i, value in zip(found.order, found.values, strict=True) if value == found.values[0]}
    return {first, *near} if rule == "tied" else equal


def letters_of(found: ComparedColumn) -> dict[int, str]:
    """By number of the row its letters; the best value has the a. {} where there would be too many."""
    return letters(found.order, found.apart)
