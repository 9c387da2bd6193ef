"""What judges say of released texts and of students' answers, and how far they agree with programs and with each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import polars as pl

from experiments.measure.agreement import Agreement, agreement, rank_correlation
from experiments.measure.quantity import Quantity, group_of, means

PROGRAM = "program"
"""Stands for the task's own program where it is one of two who are compared."""
READ = ("rating", "mass")


class JudgedPair(NamedTuple):
    """Two who judged the same texts.

    Args:
        texts: whose (`experiments.cell.Cell` says which there are).
        judge: one of them.
        other: another judge, or `PROGRAM`.
    """

    texts: str
    judge: str
    other: str


def rating_measures(tables: Sequence[pl.DataFrame | None], seeds: Sequence[int]) -> Mapping[tuple[str, str], Quantity]:
    """``rating_TEXTS`` and ``mass_TEXTS``, by these names and the judge, who stands in the place of the family.

    Args:
        tables: a seed's ratings: texts, judge, item, family, rating, mass, good, program, tokens; None for a seed without.
        seeds: theirs, ascending.
    """
    known = [(seed, table) for seed, table in zip(seeds, tables, strict=True) if table is not None]
    own, found = [seed for seed, _ in known], dict[tuple[str, str], Quantity]()
    for texts, judge in _who([table for _, table in known]):
        parts = [_of(table, texts, judge) for _, table in known]
        values = [part.select(pl.col(*READ).fill_null(float("nan"))).to_numpy().reshape(-1, 2) for part in parts]
        groups = [np.array([group_of(item) for item in part["item"]], np.int64) for part in parts]
        columns = means(own, values, groups, [False, True])
        found |= {(f"{name}_{texts}", judge): q for name, q in zip(READ, columns, strict=True)}
    return found


def agreements(tables: Sequence[pl.DataFrame | None]) -> Mapping[JudgedPair, Agreement]:
    """Of each judge with the program, where it has a verdict, and of every two judges of the same texts: over the texts of
    all seeds."""
    known = [table.with_columns(seed=pl.lit(n)) for n, table in enumerate(tables) if table is not None]
    found: dict[JudgedPair, Agreement] = {}
    if not known:
        return found
    every, who = pl.concat(known), _who(known)
    for texts, judge in who:
        both = _of(every, texts, judge).drop_nulls(["good", "program"])
        if both.height or _of(every, texts, judge)["program"].count():
            found[JudgedPair(texts, judge, PROGRAM)] = agreement(both["good"].to_numpy(), both["program"].to_numpy())
    for (texts, judge), (others, other) in combinations(who, 2):
        if texts == others:
            first, second = (_of(every, texts, name).drop_nulls("good") for name in (judge, other))
            both = first.join(second, on=["seed", "item"])
            found[JudgedPair(texts, judge, other)] = agreement(both["good"].to_numpy(), both["good_right"].to_numpy())
    return found


def length_correlations(tables: Sequence[pl.DataFrame | None]) -> Mapping[tuple[str, str], float | None]:
    """Rank correlation of a judge's ratings with the number of tokens, by texts and judge, over the texts of all seeds: a
    judge who prefers long texts shows here."""
    known = [table for table in tables if table is not None]
    rated = pl.concat(known).drop_nulls("rating") if known else pl.DataFrame()
    return {
        (texts, judge): rank_correlation(part["rating"].to_numpy(), part["tokens"].cast(pl.Float64).to_numpy())
        for texts, judge in _who(known)
        for part in [_of(rated, texts, judge)]
    }


def _who(tables: Sequence[pl.DataFrame]) -> list[tuple[str, str]]:
    """Texts and judges that there are, in their order."""
    return list(dict.fromkeys(pair for table in tables for pair in table.select("texts", "judge").rows()))


def _of(table: pl.DataFrame, texts: str, judge: str) -> pl.DataFrame:
    return table.filter((pl.col("texts") == texts) & (pl.col("judge") == judge))
