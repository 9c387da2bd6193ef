"""How far two judges of the same texts agree beyond chance: Cohen's kappa with an interval, and what speaks against a judge.

Knows no models and no tables of reports.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lm.seeds import generator

LEVEL = 0.95
DRAWS = 4_000


class Agreement(NamedTuple):
    """Of two judges who each say of n texts whether they are good.

    Args:
        kappa: Cohen's; None where both say the same of every text, so that chance alone explains all.
        low: lower limit of the 95 % interval; None where there are no texts.
        high: upper limit.
        n: texts that both judged.
        same: share of them on which they agree; None where there are none.
    """

    kappa: float | None
    low: float | None
    high: float | None
    n: int
    same: float | None

    @property
    def shown(self) -> bool:
        """Whether they agree beyond chance: the whole interval is above 0."""
        return self.low is not None and self.low > 0


def agreement(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Agreement:
    """Cohen's kappa (Cohen 1960, doi 10.1177/001316446002000104), (p_o - p_e) / (1 - p_e): with p_o the share of texts on
    which they agree, and p_e the share on which they would if each said as often what he says, of texts at random.

    The interval is a Bayesian bootstrap (Rubin 1981, doi 10.1214/aos/1176345338): quantiles of kappa over tables drawn from
    a Dirichlet distribution with the four counts, each with half a text more (Jeffreys). The plain bootstrap of texts has no
    width where a judge says the same of all, and with few texts.

    Args:
        first: (n,) what one says.
        second: (n,) what the other says of the same texts.
    """
    counts = np.bincount(2 * np.asarray(first, np.int64) + np.asarray(second, np.int64), minlength=4).astype(float)
    n = int(counts.sum())
    if not n:
        return Agreement(None, None, None, 0, None)
    drawn = generator(n, "kappa", *(f"{count:.0f}" for count in counts)).dirichlet(counts + 0.5, DRAWS)
    low, high = np.quantile(_kappa(drawn), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    kappa = float(_kappa(counts / n))
    same = float(counts[0] + counts[3]) / n
    return Agreement(kappa if np.isfinite(kappa) else None, float(low), float(high), n, same)


def _kappa(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """(…) kappa of tables (…, 4): both no, second alone, first alone, both yes. NaN where chance explains all."""
    first, second = table[..., 2] + table[..., 3], table[..., 1] + table[..., 3]
    chance = first * second + (1 - first) * (1 - second)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: NDArray[np.float64] = (table[..., 0] + table[..., 3] - chance) / np.where(chance < 1, 1 - chance, np.nan)
    return found


def rank_correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Spearman's rank correlation, ties with their mean rank; None where either is the same throughout."""
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(_ranks(x), _ranks(y))[0, 1])


def _ranks(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) rank of each, ties with their mean."""
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    rank: NDArray[np.float64] = (np.cumsum(count) - (count - 1) / 2)[place]
    return rank
