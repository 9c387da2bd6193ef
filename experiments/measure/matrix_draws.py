"""Draws of a matrix of measures, as other seeds and items would have given it. Knows no game, no table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.measure.estimate import Estimate
from experiments.measure.quantity import GROUPS, Array, Quantity


def redrawn(quantities: Sequence[Quantity], printed: Sequence[Estimate], draws: int, rng: np.random.Generator) -> Array:
    """Bootstrap draws of N measures together: seeds are drawn with replacement, then groups of items within each seed.

    What the measures share stays shared: a seed drawn twice counts twice in all of them, and so does a group of items
    (`experiments.measure.quantity.GROUPS`). Few seeds drawn with replacement vary too little, and each cell alone knows its
    spread badly; so the deviations of each measure are scaled to the standard error that is printed of it
    (`experiments.measure.estimate`), and divided by one draw of √(χ²/freedom) for all: a single measure's draws then have
    its printed interval.

    Args:
        quantities: N on the same K seeds.
        printed: N, what `estimates` says of them.
        draws: B.
        rng: explicit generator.

    Returns:
        (B, N).
    """
    values_NK = np.stack([q.values for q in quantities])
    items_NKG = np.stack([q.items for q in quantities])
    point_N = np.array([q.point for q in quantities])
    seeds = values_NK.shape[1]
    chosen_BK = rng.integers(0, seeds, (draws, seeds))
    times_BKG = rng.multinomial(GROUPS, np.full(GROUPS, 1 / GROUPS), (draws, seeds)) - 1.0
    away_BN = (values_NK.T[chosen_BK]).mean(axis=1) - point_N
    for k in range(seeds):
        for seed in range(seeds):
            here = chosen_BK[:, k] == seed
            away_BN[here] += times_BKG[here, k] @ items_NKG[:, seed].T / seeds
    by_seed = np.square(values_NK - point_N[:, None]).mean(axis=1)
    own_N = np.sqrt((by_seed + np.square(items_NKG).sum(axis=2).mean(axis=1)) / seeds)
    error_N = np.array([e.error or 0.0 for e in printed])
    free = rng.standard_normal((draws, len(quantities)))
    known = own_N > 1e-12
    scaled_BN = np.where(known, away_BN / np.where(known, own_N, 1.0), free) * error_N
    freedoms = [e.freedom for e in printed if e.freedom is not None]
    if freedoms:
        freedom = float(np.median(freedoms))
        scaled_BN /= np.sqrt(rng.chisquare(freedom, (draws, 1)) / freedom)
    return np.asarray(point_N + scaled_BN, np.float64)
