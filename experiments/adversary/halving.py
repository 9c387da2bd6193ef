"""Successive halving: many entrants with little evidence, ever fewer with ever more of it. Knows neither attacks nor models.

Karnin, Koren & Somekh 2013 (ICML); Jamieson & Talwalkar 2016, arXiv 1502.07943. Evidence is seeds: all entrants are
measured in the first seed, the best half of them in the first two, then four, until all seeds are used. Everybody in a round
is measured in the same seeds, so that a lucky teacher helps nobody.

Written here, and not taken from Optuna (its `SuccessiveHalvingPruner` is the asynchronous form, Li et al. 2020): that one
decides on a trial when it reports, by those that happened to report before it, so that what is kept depends on which process
was faster. Here a round is decided when it is complete: a search that is resumed, or run with more processes, ends the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping


def rounds(seeds: int) -> tuple[int, ...]:
    """How many seeds each round has: 1, 2, 4, … and at last all.

    >>> rounds(5), rounds(1)
    ((1, 2, 4, 5), (1,))
    """
    found = [1]
    while found[-1] < seeds:
        found.append(min(2 * found[-1], seeds))
    return tuple(found)


def kept(scores: Mapping[str, float], leagues: Mapping[str, Hashable]) -> list[str]:
    """Who goes on: the better half of all, rounded up, and the best of each league, in the order in which they came.

    Args:
        scores: by entrant, more is better; of equal ones the earlier is taken.
        leagues: by entrant, what has to stay represented.
    """
    ranked = sorted(scores, key=lambda name: -scores[name])  # stable
    going = set(ranked[: (len(ranked) + 1) // 2])
    best: dict[Hashable, str] = {}
    for name in ranked:
        best.setdefault(leagues[name], name)
    return [name for name in scores if name in going or name in best.values()]
