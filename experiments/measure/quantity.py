"""A measured number as it came out in each seed, and arithmetic on such numbers. Knows neither models nor tables.

A `Quantity` carries a value per seed and what each group of items adds to that value, so that sums, differences and
(to first order, the delta method; van der Vaart 1998, ch. 3) ratios keep what their parts share: a seed's luck, an
item's difficulty. Items are put into `GROUPS` random groups by a hash of their id, the same in every cell; the sum of
squares of the groups' deviations is the variance by items (random groups, Wolter 2007, ch. 2), without keeping every
item of every measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GROUPS = 50
PSEUDO = 2.0
"""Wrong answers added to the variance, not the mean, of an accuracy, over all seeds together: 300 of 300 right is not
certainty (Agresti & Coull 1998: z²/2, which is 1.9)."""
MISSING = "not measured"
NOISE = "denominator inside its noise"


class Quantity(NamedTuple):
    """A number measured over K seeds. Blank where there is none, with a reason.

    Args:
        seeds: (K,) ascending.
        values: (K,) in each seed. Their mean is the number.
        items: (K, G) deviation that each group of items adds to its seed's value.
        extra: (K,) variance by items beyond that of the groups, see `PSEUDO`.
        bounded: whether it can only be in [0, 1].
        over: what it was divided by; if one of them is inside its noise there is no number.
        reason: why it is blank, or a remark on how it came about.
        mark: of how it was read off a curve, see `experiments.measure.matched`.
    """

    seeds: tuple[int, ...]
    values: Array
    items: Array
    extra: Array
    bounded: bool = False
    over: tuple[Quantity, ...] = ()
    reason: str = ""
    mark: str = ""

    @property
    def known(self) -> bool:
        """Whether there is a value at all."""
        return bool(self.seeds)

    @property
    def point(self) -> float:
        """The mean over seeds; NaN where it is blank."""
        # as `ndarray.mean` computes it, without what that spends on its arguments: a report asks for this 60,000 times
        return float(np.add.reduce(self.values)) / len(self.values) if self.seeds else float("nan")

    @property
    def noise(self) -> float:
        """Variance of one seed's value by its items alone."""
        if not self.seeds:
            return float("nan")
        return float(np.add.reduce(np.add.reduce(np.square(self.items), axis=1) + self.extra)) / len(self.seeds)

    def on(self, seeds: tuple[int, ...]) -> Quantity:
        """The same on some of its seeds."""
        if seeds == self.seeds:
            return self
        keep = [self.seeds.index(seed) for seed in seeds]
        return self._replace(seeds=seeds, values=self.values[keep], items=self.items[keep], extra=self.extra[keep])


def blank(reason: str) -> Quantity:
    """A quantity without a value."""
    return Quantity((), np.empty(0), np.empty((0, GROUPS)), np.empty(0), reason=reason)


def plain(seeds: Sequence[int], values: Sequence[float | None], bounded: bool = False) -> Quantity:
    """A number per seed whose items are not known; seeds without one (None, NaN) are left out."""
    known = [(s, float(v)) for s, v in zip(seeds, values, strict=True) if v is not None and np.isfinite(v)]
    if not known:
        return blank(MISSING)
    count = len(known)
    found = np.array([value for _, value in known])
    return Quantity(tuple(s for s, _ in known), found, np.zeros((count, GROUPS)), np.zeros(count), bounded)


@lru_cache(maxsize=1 << 18)
def group_of(item: str) -> int:
    """The group of an item, in 0..GROUPS − 1."""
    return crc32(item.encode()) % GROUPS


def means(
    seeds: Sequence[int],
    values: Sequence[Array],
    groups: Sequence[NDArray[np.int64]],
    bounded: Sequence[bool],
) -> list[Quantity]:
    """The mean of every column over its items, as C quantities.

    Args:
        seeds: K, ascending.
        values: an (n_s, C) array per seed; NaN where a column lacks an item. A column without items lacks the seed.
        groups: (n_s,) group of each item, per seed.
        bounded: (C,) whether the column's values are all in [0, 1].
    """
    mean, items, count = zip(*map(_summed, values, groups), strict=True)
    mean_KC, items_KCG, count_KC = np.array(mean), np.array(items), np.array(count)
    found = []
    for column, limited in enumerate(bounded):
        keep = np.flatnonzero(count_KC[:, column])
        if keep.size == 0:
            found.append(blank(MISSING))
            continue
        n = count_KC[keep, column]
        extra = PSEUDO / (keep.size * n**2) if limited else np.zeros(keep.size)
        which = tuple(seeds[k] for k in keep.tolist())
        found.append(Quantity(which, mean_KC[keep, column], items_KCG[keep, column], extra, limited))
    return found


def _summed(values: Array, groups: NDArray[np.int64]) -> tuple[Array, Array, Array]:
    """(C,) means, (C, G) deviations by group, (C,) numbers of items."""
    known = np.isfinite(values)
    count = known.sum(axis=0).astype(np.float64)
    n = np.maximum(count, 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / n
    member = (groups == np.arange(GROUPS)[:, None]).astype(np.float64)
    away = member @ np.where(known, values - mean, 0.0)
    # n − 1 as in any variance of a mean.
    return mean, (away / np.sqrt(n * np.maximum(n - 1, 1))).T, count


def linear(terms: Sequence[tuple[float, Quantity]], value: float | None = None) -> Quantity:
    """Σ a·q on the seeds that all terms have; blank where a term is.

    Args:
        terms: factors and quantities, at least one.
        value: the result where the sum is only its change to first order (a ratio); the sum itself if not given.
    """
    gone = next((q for _, q in terms if not q.known), None)
    if gone is not None:
        return blank(gone.reason or MISSING)
    shared = shared_seeds([q for _, q in terms])
    if not shared:
        return blank("no seed in common")
    values, items, extra = np.zeros(len(shared)), np.zeros((len(shared), GROUPS)), np.zeros(len(shared))
    over: tuple[Quantity, ...] = ()
    for a, term in terms:  # in place: a report adds some 50,000 terms
        q = term.on(shared)
        values += a * q.values
        items += a * q.items
        extra += a**2 * q.extra
        over += q.over
    if value is not None:
        values = value + values - values.mean()
    return Quantity(shared, values, items, extra, over=over)


def shared_seeds(quantities: Sequence[Quantity]) -> tuple[int, ...]:
    """Seeds that all of them have, ascending."""
    if all(q.seeds == quantities[0].seeds for q in quantities):
        return quantities[0].seeds
    return tuple(sorted(set.intersection(*(set(q.seeds) for q in quantities))))


def difference(a: Quantity, b: Quantity) -> Quantity:
    """a − b, seed by seed and item by item; blank where either is."""
    return linear([(1.0, a), (-1.0, b)])


def mean_of(quantities: Sequence[Quantity]) -> Quantity:
    """Their mean; blank where there is none or any is blank."""
    if not quantities:
        return blank(MISSING)
    return linear([(1 / len(quantities), q) for q in quantities])._replace(bounded=all(q.bounded for q in quantities))


def quotient(numerator: Quantity, denominator: Quantity) -> Quantity:
    """numerator / denominator: the ratio of the means, and to first order how it moves with both.

    Blank where either is, and, once the table is known, where `experiments.measure.estimate.in_noise` says so of the
    denominator.
    """
    if not (numerator.known and denominator.known):
        return blank(numerator.reason or denominator.reason or MISSING)
    shared = shared_seeds([numerator, denominator])
    if not shared:
        return blank("no seed in common")
    below = denominator.on(shared)
    if below.point == 0:
        return blank(NOISE)
    ratio = numerator.on(shared).point / below.point
    found = linear([(1 / below.point, numerator), (-ratio / below.point, denominator)], value=ratio)
    return found._replace(over=(*found.over, below))
