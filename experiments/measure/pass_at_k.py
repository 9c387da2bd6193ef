"""How often at least one of k sampled responses is right, before and after an attacker refines his student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from experiments.measure.quantity import Quantity, group_of, mean_of, means
from experiments.measure.transfer import POOLED

KS = (1, 4, 16)
DRAWS = max(KS)
"""Samples of an item."""
ROLES = {
    "student": "S_def",
    "distilled": "S_def_distilled",
    "undefended": "S_undef",
    "distilled_undefended": "S_undef_distilled",
    "self": "S_self",
    "base": "S_base",
}
"""By role of a model (after and before refining, defended and not; refined without the teacher; before any query), how its
measures begin."""


def sampled_once(scores: Mapping[str, pl.DataFrame]) -> pl.DataFrame | None:
    """Where a student was refined and no more responses were drawn: the ones that were sampled to score it, as a table for
    `pass_measures`. None where no student was refined.

    Args:
        scores: item tables by model (`experiments.measure.cell_result.CellResult`).
    """
    if "distilled" not in scores:
        return None
    sampled = (pl.col("decoding") == "sampled") & (pl.col("split") == "heldout")
    right = pl.col("strict").cast(pl.Int64).sum().alias("right")
    return pl.concat(
        scores[role]
        .filter(sampled)
        .group_by("item", "family", maintain_order=True)
        .agg(pl.len().cast(pl.Int64).alias("n"), right)
        .with_columns(model=pl.lit(role))
        for role in ROLES
        if role in scores
    )


def pass_at_k(n: int, right: NDArray[np.integer], k: int) -> NDArray[np.float64]:
    """(I,) unbiased estimate of the chance that one of k samples is right: 1 − C(n − c, k) / C(n, k) for items of which c of
    n samples were (Chen et al. 2021, arXiv 2107.03374, eq. 1), as the product 1 − Π_{i=n−c+1..n} (1 − k / i).

    Args:
        n: samples of each item, at least k.
        right: (I,) how many of them were right.
        k: at least 1.
    """
    assert 1 <= k <= n, (k, n)
    i = np.arange(1, n + 1)
    kept = np.where(i > n - right[:, None], np.maximum(0.0, 1 - k / i), 1.0)
    found: NDArray[np.float64] = 1 - kept.prod(1)
    return found


def pass_measures(tables: Sequence[pl.DataFrame | None], seeds: Sequence[int]) -> Mapping[tuple[str, str], Quantity]:
    """By name (``S_def_pass_at_4``) and family, also pooled over families; nothing where no seed has a table, and of a k
    nothing where some item has fewer samples.

    Args:
        tables: a seed's rows of all roles: model, item, family, n, right; None for a seed without.
        seeds: theirs, ascending.
    """
    known = [(seed, table) for seed, table in zip(seeds, tables, strict=True) if table is not None and table.height]
    if not known:
        return {}
    own = [seed for seed, _ in known]
    found: dict[tuple[str, str], Quantity] = {}
    fewest = min(int(table["n"].to_numpy().min()) for _, table in known)
    ks = [k for k in KS if k <= fewest]
    models = {model for _, table in known for model in table["model"].unique()}
    families = sorted({family for _, table in known for family in table["family"].unique()})
    for model in (role for role in ROLES if role in models):
        for family in families:
            chosen = (pl.col("model") == model) & (pl.col("family") == family)
            parts = [table.filter(chosen) for _, table in known]
            values = [_values(part, ks) for part in parts]
            groups = [np.array([group_of(str(item)) for item in part["item"]], np.int64) for part in parts]
            columns = means(own, values, groups, [True] * len(ks))
            found |= {(f"{ROLES[model]}_pass_at_{k}", family): q for k, q in zip(ks, columns, strict=True)}
        for k in ks:
            name = f"{ROLES[model]}_pass_at_{k}"
            found[name, POOLED] = mean_of([found[name, family] for family in families])
    return found


def _values(part: pl.DataFrame, ks: Sequence[int]) -> NDArray[np.float64]:
    """(I, K) the estimate for every item and k."""
    found = np.zeros((part.height, len(ks)))
    n, right = part["n"].to_numpy(), part["right"].to_numpy()
    for count in np.unique(n):
        those = n == count
        found[those] = np.stack([pass_at_k(int(count), right[those], k) for k in ks], 1)
    return found
