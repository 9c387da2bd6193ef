"""Finds where a noisy, roughly monotone cost of a strength takes a value, with few evaluations. Knows no cell, no store.

What to try next follows from what was tried before and nothing else, so a search is resumed by going over its path again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from defenses.strength import Strength

MOST = 10
"""Evaluations of one search at most. On smooth functions it takes 5 on average, and 8 in the worst of 100."""

FAR = 3
"""In targets: a cost above this is taken for it when a chord is drawn."""

LEAST_TOLERANCE = 0.002
"""A cost this near to the target is taken for it, also where its standard error is smaller."""

DIGITS = 3
"""Significant digits of a strength: what a paper prints is what was run."""


class Probe(NamedTuple):
    """One evaluation: the cost at a strength (a drop of honest accuracy, an L1 distance), with its standard error."""

    strength: float
    cost: float
    error: float

    @property
    def tolerance(self) -> float:
        """Nearer to a target than this is near enough: half a standard error, or `LEAST_TOLERANCE`."""
        return max(LEAST_TOLERANCE, self.error / 2)


class Search(NamedTuple):
    """A search for one cost.

    Args:
        strength: the range.
        whole: whether strengths are whole numbers.
        target: the cost.
    """

    strength: Strength
    whole: bool
    target: float

    def next(self, path: Sequence[Probe]) -> float | None:
        """The strength to try after these, None where the search is over.

        The strongest comes first: it says whether the target can be reached. Then regula falsi with the Illinois rule (an
        end that stays twice counts half; Dowell & Jarratt 1971) from the harmless end, taken to cost nothing. A cost far
        above the target counts as `FAR` times it: how much a ruinous strength costs says little about the mild ones.
        """
        if not path:
            return self._rounded(self.strength.strongest)
        if any(abs(p.cost - self.target) <= p.tolerance for p in path) or not self.reached(path) or len(path) >= MOST:
            return None
        low, high = _End(0.0, -self.target), _End(1.0, path[0].cost - self.target)
        before = 0
        for point in path[1:]:
            end = _End(self.strength.position(point.strength), point.cost - self.target)
            side = 1 if end.gap > 0 else -1
            halved = side == before
            if side > 0:
                low, high = (low.half() if halved else low), end
            else:
                low, high = end, (high.half() if halved else high)
            before = side
        middle = (low.position + high.position) / 2
        above = min(high.gap, (FAR - 1) * self.target)
        chord = low.position + (high.position - low.position) * low.gap / (low.gap - above)
        for guess in (chord, middle):
            value = self._rounded(self.strength.at(guess))
            if low.position < self.strength.position(value) < high.position and all(value != p.strength for p in path):
                return value
        return None

    def reached(self, path: Sequence[Probe]) -> bool:
        """Whether the strongest costs enough."""
        return path[0].cost >= self.target - path[0].tolerance

    def nearest(self, path: Sequence[Probe]) -> Probe:
        """The evaluation whose cost is nearest to the target."""
        return min(path, key=lambda point: abs(point.cost - self.target))

    def _rounded(self, value: float) -> float:
        return round(value) if self.whole else float(f"{value:.{DIGITS}g}")


class _End(NamedTuple):
    """An end of the bracket: position in the range, and how far its cost is above the target."""

    position: float
    gap: float

    def half(self) -> _End:
        return _End(self.position, self.gap / 2)
