"""What a matrix of payoffs says: value and mixtures with intervals, what each side secures alone, who is dominated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.measure.dominance import Dominated, dominated
from experiments.measure.estimate import LEVEL, Estimate, estimates
from experiments.measure.matrix_draws import redrawn
from experiments.measure.matrix_game import Pure, pure, solved
from experiments.measure.quantity import Array, linear
from experiments.report.payoffs import Payoffs
from lm.seeds import generator

DRAWS = 1000


@dataclass(frozen=True)
class Equilibrium:
    """One solved game.

    Args:
        payoffs: its matrix.
        losses: (R, C) the same, as printed.
        value: of the game.
        provider: (R,) probability of each defense.
        attacker: (C,) of each attack.
        alone: what each side secures without mixing.
        against: (R,) and (C,) loss of each method when it meets the other side's mixture.
        defenses: dominated ones.
        attacks: dominated ones.
    """

    payoffs: Payoffs
    losses: tuple[tuple[Estimate, ...], ...]
    value: Estimate
    provider: tuple[Estimate, ...]
    attacker: tuple[Estimate, ...]
    alone: Pure
    against: tuple[tuple[float, ...], tuple[float, ...]]
    defenses: tuple[Dominated, ...]
    attacks: tuple[Dominated, ...]


def equilibrium(payoffs: Payoffs, draws: int = DRAWS) -> Equilibrium:
    """Solve a game, and once more for each of so many draws of its matrix.

    The interval of the value is the basic bootstrap interval (Davison & Hinkley 1997, section 5.2), 2v less the quantiles
    of the draws: the value of a noisy matrix is biased, as a maximum over noisy attacks is too large, and this interval
    takes the bias that the draws show off, where that of the quantiles would add it once more. In 80 simulations each of six
    games with five seeds it covered the true value in 82 to 95 %, that of the quantiles in 21 to 95 %. Intervals of mixtures
    are quantiles.

    Args:
        payoffs: with at least one defense and one attack.
    """
    flat = [loss for row in payoffs.losses for loss in row]
    printed = estimates(flat)
    shape = len(payoffs.defenses), len(payoffs.attacks)
    losses_RC = np.array([loss.point for loss in flat]).reshape(shape)
    found = solved(losses_RC)
    rng = generator(0, "game", *payoffs.defenses, *payoffs.attacks)
    drawn = redrawn(flat, printed, draws, rng).reshape(draws, *shape)
    again = [solved(one) for one in drawn] if any(e.error for e in printed) else []
    columns = list(zip(*payoffs.losses, strict=True))
    return Equilibrium(
        payoffs,
        tuple(tuple(printed[at : at + shape[1]]) for at in range(0, len(printed), shape[1])),
        _value(found.value, np.array([one.value for one in again])),
        _shares(found.rows, np.array([one.rows for one in again])),
        _shares(found.columns, np.array([one.columns for one in again])),
        pure(losses_RC),
        (tuple((losses_RC @ found.columns).tolist()), tuple((found.rows @ losses_RC).tolist())),
        tuple(dominated(payoffs.losses)),
        tuple(dominated([[linear([(-1.0, loss)]) for loss in column] for column in columns])),
    )


def _value(value: float, draws_B: Array) -> Estimate:
    if not len(draws_B):
        return Estimate(value)
    low, high = np.quantile(draws_B, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return Estimate(value, 2 * value - high, 2 * value - low)


def _shares(shares_M: Array, draws_BM: Array) -> tuple[Estimate, ...]:
    if not len(draws_BM):
        return tuple(Estimate(share) for share in shares_M.tolist())
    ends = np.quantile(draws_BM, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0).T.tolist()
    return tuple(Estimate(share, *limits) for share, limits in zip(shares_M.tolist(), ends, strict=True))
