"""Two-person zero-sum games in a matrix: the minimax mixtures and the value. Knows numbers only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from experiments.measure.quantity import Array


class Solution(NamedTuple):
    """What both sides do at best.

    Args:
        value: what the row player loses on average.
        rows: (R,) his mixture, which keeps that at most the value whatever the other does.
        columns: (C,) the other's, which keeps it at least the value.
    """

    value: float
    rows: Array
    columns: Array


def solved(losses_RC: Array) -> Solution:
    """The minimax mixtures of a game in which the row player loses what the column player gains (von Neumann 1928).

    The row player's linear programme is min v with Σ_r p_r·L_rc ≤ v for every column and p a distribution (Dantzig 1951);
    the column player's mixture is its dual. Where several mixtures do equally well, it is one of them. Adding a constant to
    all losses changes the value alone, as the programme is solved for losses moved and scaled to [0, 1].

    Args:
        losses_RC: (R, C) finite numbers, at least one.
    """
    from scipy.optimize import linprog

    least, scale = float(losses_RC.min()), float(np.ptp(losses_RC)) or 1.0
    rows, columns = losses_RC.shape
    found = linprog(
        c=np.r_[np.zeros(rows), 1.0],
        A_ub=np.c_[((losses_RC - least) / scale).T, -np.ones(columns)],
        b_ub=np.zeros(columns),
        A_eq=np.r_[np.ones(rows), 0.0][None],
        b_eq=np.ones(1),
        bounds=[(0, None)] * rows + [(None, None)],
        method="highs",
    )
    assert found.x is not None, found.message  # a finite matrix game always has a solution
    return Solution(least + scale * float(found.x[-1]), _mixture(found.x[:-1]), _mixture(-found.ineqlin.marginals))


def _mixture(weights: Array) -> Array:
    """A distribution, without what rounding left."""
    kept = np.where(weights > 1e-9, weights, 0.0)
    return np.asarray(kept / kept.sum(), np.float64)


class Pure(NamedTuple):
    """What each side secures without mixing; the value of the game lies between.

    Args:
        maxmin: the most that one column gains whatever the row.
        minmax: the least that one row loses whatever the column.
        column: that column.
        row: that row.
    """

    maxmin: float
    minmax: float
    column: int
    row: int


def pure(losses_RC: Array) -> Pure:
    """The best single choices."""
    least, most = losses_RC.min(axis=0), losses_RC.max(axis=1)
    column, row = int(least.argmax()), int(most.argmin())
    return Pure(float(least[column]), float(most[row]), column, row)
