"""Transfer against honest quality: the front, its hypervolume, the worst attack, and what adapting buys the attacker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from experiments.measure.quantity import MISSING, Quantity, blank, difference

REFERENCE = (1.0, 0.0)
"""Reference point of the hypervolume: everything transfers (1) and honest users get nothing right (0)."""


def front(transfer: ArrayLike, quality: ArrayLike) -> list[int]:
    """Indices of the points that no other beats (transfer down, quality up), by ascending transfer.

    A point is beaten by one at least as good in both and better in one; of equal points the first stays. NaN never enters.
    """
    x, y = np.asarray(transfer, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    chosen: list[int] = []
    best = -np.inf
    for i in sorted(known, key=lambda i: (x[i], -y[i], i)):
        if y[i] > best:
            chosen.append(int(i))
            best = y[i]
    return chosen


def hypervolume(transfer: ArrayLike, quality: ArrayLike, reference: tuple[float, float] = REFERENCE) -> float:
    """Area of {(a, b): some point has transfer ≤ a ≤ reference[0], quality ≥ b ≥ reference[1]} (Zitzler & Thiele 1999).

    Transfer below 0 counts as 0, so that no defense is paid for a student worse than its base; the greatest value for the
    default reference is 1. Points that do not beat the reference add nothing.
    """
    x, y = np.maximum(np.asarray(transfer, dtype=np.float64), 0.0), np.asarray(quality, dtype=np.float64)
    area, top = 0.0, reference[1]
    for i in front(x, y):
        if x[i] < reference[0] and y[i] > top:
            area += float((reference[0] - x[i]) * (y[i] - top))
            top = y[i]
    return area


class Worst(NamedTuple):
    """The attack under which a defense does worst.

    Args:
        attack: its name; '' where no transfer is known.
        gap: how much it moves beyond the best passive attack; blank where a passive attack is worst, or where there is none.
    """

    attack: str
    gap: Quantity


NO_GAIN = "a passive attack is the worst"


def worst_case(transfers: Mapping[str, Quantity], passive: Iterable[str]) -> Worst:
    """The attack with the largest transfer, and how much it moves beyond the best passive attack.

    Which attack is worst is taken as given: an interval of its transfer understates the uncertainty where several are close.

    Args:
        transfers: by attack.
        passive: the attacks that do not answer to the defense.
    """
    known = {name: q for name, q in transfers.items() if q.known}
    if not known:
        return Worst("", blank(MISSING))
    worst = max(sorted(known), key=lambda name: known[name].point)
    resting = [name for name in sorted(known) if name in set(passive)]
    if not resting:
        return Worst(worst, blank("no passive attack"))
    best = max(resting, key=lambda name: known[name].point)
    return Worst(worst, blank(NO_GAIN) if best == worst else difference(known[worst], known[best]))
