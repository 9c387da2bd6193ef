"""The drop of honest accuracy between the same requests with and without a defense, and its standard error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from experiments.measure.panel import ALL


class Drop(NamedTuple):
    """Mean over seeds of accuracy without less accuracy with the defense, and its standard error."""

    drop: float
    error: float


def paired_drop(differences: Sequence[NDArray[np.float64]]) -> Drop:
    """The mean over seeds of each seed's mean, and its standard error.

    The error from items alone is sqrt(Σ_s v_s/n_s)/S, with v_s the variance of the n_s differences of seed s. What differs
    between seeds besides (teachers, users) shows in the spread of the seeds' means, which also holds the noise of items; of
    few seeds that spread can be small by chance. The larger of the two is given.

    Args:
        differences: (n_s,) per seed, right without less right with the defense, by item: −1, 0 or 1.
    """
    means = np.array([values.mean() for values in differences])
    items = np.sqrt(sum(_variance(values) / len(values) for values in differences)) / len(means)
    return Drop(float(means.mean()), float(max(items, np.sqrt(_variance(means) / len(means)))))


def _variance(values: NDArray[np.float64]) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0


def drop_table(defended: Sequence[pl.DataFrame], clean: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """One row for all users (`ALL`) and one for each family: family, drop, error, items (fewest of a seed).

    Args:
        defended: honest requests of each seed behind the defense, as `experiments.stages.honest` has them; refused ones are
            wrong.
        clean: the same requests without it.
    """
    paired = [
        before.select("item", "account", "family", was=pl.col("strict").cast(pl.Float64)).join(
            after.select("item", "account", now=pl.col("strict").cast(pl.Float64)),
            on=["item", "account"],
            how="inner",
            validate="1:1",
        )
        for after, before in zip(defended, clean, strict=True)
    ]
    rows = []
    for family in (ALL, *sorted(set().union(*(table["family"].unique() for table in paired)))):
        own = [table if family == ALL else table.filter(pl.col("family") == family) for table in paired]
        found = [(table["was"] - table["now"]).to_numpy() for table in own if table.height]
        if found:
            rows.append({"family": family, **paired_drop(found)._asdict(), "items": min(map(len, found))})
    return pl.DataFrame(rows)
