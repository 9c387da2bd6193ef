"""The student at matched teacher drop: two defenses are compared where they cost honest users the same.

A defense's strengths give points (drop of honest accuracy, student accuracy). What costs honest users nothing (the
undefended API, and every strength measured at a drop of 0 or below) is the start of the curve, and counts by its
best: the lowest student. From there the curve is piecewise linear; student accuracies are made non-increasing by
isotonic regression (Barlow et al. 1972) and never exceed the start. Outside the measured drops there is no value:
nothing is extrapolated.

How a value came about is its mark: `INTERPOLATED` between two strengths, or a `CHORD` from the undefended API to the first
strength, which says least. Of a convex curve both lie above the true value; `Read.slack` bounds by how much, from the
segments on either side (a convex curve lies above the continuation of each).

The standard error moves with both coordinates of every point. As the curve has corners (two points change their order, one
becomes free), the value's slope in each is taken between one standard error below and above, not at the point alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from experiments.measure.quantity import Quantity, blank, linear

TARGETS = (0.01, 0.02, 0.05)
"""Drops of honest accuracy at which defenses are compared."""
INTERPOLATED, CHORD = "interpolated", "chord"
TINY = 1e-12


class Point(NamedTuple):
    """A point of a curve: drop, student accuracy, and whether it is a strength's own or the undefended API's."""

    drop: float
    accuracy: float
    measured: bool


class Read(NamedTuple):
    """A value read off a curve.

    Args:
        value: student accuracy, marked.
        slack: how much lower it may be at most if the curve is convex; 0 where it was measured.
    """

    value: Quantity
    slack: float = 0.0


@dataclass(frozen=True)
class TradeOff:
    """Monotone curve of one defense.

    Args:
        undefended: accuracy of the student at drop 0.
        strengths: (drop, student accuracy) of each.
    """

    undefended: Quantity
    strengths: tuple[tuple[Quantity, Quantity], ...]

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """By ascending drop, accuracies non-increasing."""
        return _points(self._inputs())

    @property
    def reach(self) -> float:
        """Largest drop measured."""
        return self.points[-1].drop

    def _inputs(self) -> list[float]:
        return [q.point for q in self._quantities()]

    def _quantities(self) -> list[Quantity]:
        return [self.undefended, *(q for strength in self.strengths for q in strength)]

    def slopes(self, target: float) -> list[tuple[float, Quantity]]:
        """How the value at ``target`` moves with every number that the curve is made of."""
        found = []
        for i, q in enumerate(self._quantities()):
            between = float(q.values.var(ddof=1)) if len(q.seeds) > 1 else 0.0
            step = max(float(np.sqrt(max(q.noise, between) / len(q.seeds))), 1e-9)
            ends = []
            for side in (-1, 1):
                moved = self._inputs()
                moved[i] += side * step
                ends.append(_value(_points(moved), min(target, _points(moved)[-1].drop)))
            found.append(((ends[1] - ends[0]) / (2 * step), q))
        return found


def curve(undefended: Quantity, points: Sequence[tuple[Quantity, Quantity]]) -> TradeOff | None:
    """The curve through the undefended student and a (drop, student accuracy) pair per strength.

    Points that are not measured are left out; None where nothing but the undefended point, or not even it, is left.
    """
    known = tuple((drop, accuracy) for drop, accuracy in points if drop.known and accuracy.known)
    return TradeOff(undefended, known) if undefended.known and known else None


def at_drop(line: TradeOff | None, target: float) -> Read:
    """Student accuracy where honest accuracy has dropped by ``target``; blank outside the measured drops."""
    if line is None:
        return Read(blank("no strength measured"))
    if target < 0 or target > line.reach + TINY:
        return Read(blank(f"largest measured drop is {100 * line.reach:.1f} points"))
    value = _value(line.points, target)
    found = linear(line.slopes(target), value)._replace(bounded=True)
    left = _left(line.points, target)
    if abs(line.points[left].drop - target) <= TINY:
        return Read(found)
    mark = INTERPOLATED if line.points[left].measured else CHORD
    return Read(found._replace(mark=mark), _slack(line.points, left, target, value))


def _points(inputs: Sequence[float]) -> tuple[Point, ...]:
    """From the undefended accuracy, then drop and accuracy of each strength."""
    undefended, *rest = inputs
    strengths = list(zip(rest[::2], rest[1::2], strict=True))
    free = [Point(0.0, accuracy, True) for drop, accuracy in strengths if drop <= 0]
    start = min([Point(0.0, undefended, False), *free], key=lambda point: point.accuracy)
    costly: dict[float, float] = {}
    for drop, accuracy in sorted(strengths):
        if drop > 0:
            costly.setdefault(drop, accuracy)
    if not costly:
        return (start,)
    from scipy.optimize import isotonic_regression

    fitted = isotonic_regression(list(costly.values()), increasing=False).x
    return (start, *(Point(x, min(float(y), start.accuracy), True) for x, y in zip(costly, fitted, strict=True)))


def _left(points: Sequence[Point], target: float) -> int:
    """The last point at or below the target."""
    return max(i for i, point in enumerate(points) if point.drop <= target + TINY)


def _value(points: Sequence[Point], target: float) -> float:
    return float(np.interp(target, [p.drop for p in points], [p.accuracy for p in points]))


def common_drop(lines: Sequence[TradeOff]) -> float | None:
    """A drop that all curves reach, rounded down to a tenth of a point; None where it is 0: there is then no honest accuracy
    at which they can be compared."""
    if not lines:
        return None
    reach = np.floor(min(line.reach for line in lines) * 1000 + 1e-9) / 1000
    return float(reach) if reach > 0 else None


def _slack(points: Sequence[Point], left: int, target: float, chord: float) -> float:
    """Chord less the highest of what a convex curve through the points cannot lie below."""
    x, y = [p.drop for p in points], [p.accuracy for p in points]
    floors = [y[left + 1]]
    if left + 2 < len(x):
        floors.append(y[left + 1] + (y[left + 2] - y[left + 1]) / (x[left + 2] - x[left + 1]) * (target - x[left + 1]))
    if left > 0:
        floors.append(y[left] + (y[left] - y[left - 1]) / (x[left] - x[left - 1]) * (target - x[left]))
    return max(chord - max(floors), 0.0)
