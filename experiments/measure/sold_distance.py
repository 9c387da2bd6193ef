"""The mean L1 distance of what is sold from the truth, and its standard error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from experiments.measure.panel import ALL

Array = NDArray[np.float64]


class MeanDistance(NamedTuple):
    """Mean over seeds of the mean over tokens, and its standard error."""

    l1: float
    error: float


def mean_distance(sums: Sequence[Array], tokens: Sequence[Array]) -> MeanDistance:
    """The mean over seeds of r_s = Σ l / Σ n, and its standard error.

    Tokens of a text are not independent, so the error of a seed is that of a ratio over its T texts (the delta method):
    sqrt(T/(T − 1) Σ (l − r n)²) / Σ n. The larger is given of what follows from these and of what the seeds' spread says,
    as for a drop of accuracy (`experiments.measure.drop.paired_drop`).

    Args:
        sums: (T_s,) per seed, distance summed over a text's tokens, l.
        tokens: (T_s,) per seed, how many there are, n.
    """
    ratios, squares = [], 0.0
    for own, count in zip(sums, tokens, strict=True):
        total, texts = max(count.sum(), 1.0), len(count)
        ratio = own.sum() / total
        ratios.append(ratio)
        squares += np.square(own - ratio * count).sum() * texts / max(texts - 1, 1) / total**2
    spread = np.var(ratios, ddof=1) / len(ratios) if len(ratios) > 1 else 0.0
    return MeanDistance(float(np.mean(ratios)), float(max(np.sqrt(squares) / len(ratios), np.sqrt(spread))))


def distance_table(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """One row for all texts (`ALL`) and one for each family: family, l1, error, items (fewest of a seed).

    Args:
        tables: of each seed, as `experiments.stages.sold` has them.
    """
    rows = []
    for family in (ALL, *sorted(set().union(*(table["family"].unique() for table in tables)))):
        own = [table if family == ALL else table.filter(pl.col("family") == family) for table in tables]
        own = [table for table in own if table["tokens"].sum() > 0]
        if own:
            columns = ([table[name].cast(pl.Float64).to_numpy() for table in own] for name in ("l1", "tokens"))
            rows.append(
                {"family": family, **mean_distance(*columns)._asdict(), "items": min(table.height for table in own)}
            )
    return pl.DataFrame(rows)
