"""A watermark in the training data leaves a trace, and its p-value can be trusted if each pair of context and token counts
once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import polars as pl

from configs.ranges import at_least
from experiments.claims.base import Claim
from experiments.measure.estimate import estimates
from experiments.measure.quantity import MISSING, Quantity, blank, difference, group_of, means, plain
from experiments.measure.verdict import HolmVerdict, Reading, verdicts
from experiments.report.finding import Finding, Ground, says
from experiments.report.spelling import Value, enumeration, with_interval
from experiments.report.structure import Column, Table

if TYPE_CHECKING:
    from experiments.cell import Cell
    from experiments.claims.radioactivity_stage import RadioactivityStage

LEVEL = 0.05
"""A suspect whose p is at most this is convicted."""
SMALL = pl.col("p") <= LEVEL
WAYS = {"once": "each pair once", "distinct": "copies too", "everywhere": "every position"}
"""Ways of counting (`experiments.claims.radioactivity_stage`) -> in the table."""
SUPPORTS: dict[str, list[Reading]] = {
    "trend": ["lost"],
    "tail": ["unchanged"],
    "mean": ["unchanged"],
    "repeats": ["lost"],
}
CONTRADICTS: dict[str, list[Reading]] = {
    "trend": ["gained", "unchanged"],
    "tail": ["lost", "gained"],
    "mean": ["lost", "gained"],
    "repeats": ["gained", "unchanged"],
}
"""Readings of what is found less what is expected: z at the smallest share, and chance."""
WORDS = {
    "trend": "z of the student at the largest watermarked share less that at the smallest",
    "tail": "share of p ≤ .05 of clean students, less .05",
    "mean": "mean p of clean students, less .50",
    "repeats": "share of p ≤ .05 of clean students where every position counts, less .05",
}
FOUND = {
    "trend": "the student's z at the largest watermarked share is {} above that at the smallest",
    "tail": "the share of clean students' p-values that are at most .05 differs from .05 by {}",
    "mean": "their mean differs from .50 by {}",
    "repeats": "where every position counts, that share differs from .05 by {}",
}


@dataclass(frozen=True)
class Radioactive(Claim):
    """Rows know neither what counting repeats does nor other keys, so this claim has a stage of its own and is judged by its
    own command alone. The test is that of `kgw_radioactivity`: open model, supervised.

    The share of watermarked rows is that of the attack, which dilutes them or not. Evidence is z: it rises as p falls, and
    does not run out of digits. The student at the largest share has to have more of it than that at the smallest, seed by
    seed.

    That p is uniform on a clean student is judged in two places, each over many p-values a seed, one for each other key: the
    share of p ≤ .05 has to lie within ±.05 of .05, and the mean within ±.05 of .5, intervals included. That it is falsely
    small without deduplication means that more than .05 of the same students' p-values are ≤ .05 where each position counts.
    All four are corrected together (Holm). Other keys are measured in cells whose attacker changes nothing of what he got.

    Args:
        watermark: name of the green-list watermark in the cells.
        keys: how many other keys the clean student reads.
        texts: how many texts of each; what is served under the student's own key is read as a whole.
    """

    name: ClassVar[str] = "radioactive"
    version: ClassVar[int] = 1
    label: ClassVar[str] = "C9"
    source: ClassVar[str] = "Sander et al. 2024, arXiv 2402.14904"
    statement: ClassVar[str] = (
        "Radioactivity's p-value falls with the watermarked share of the training data, is uniform on a clean student, and "
        "is falsely small without deduplication."
    )

    watermark: str
    keys: int
    texts: int

    def __post_init__(self) -> None:
        at_least(self, 1, "keys", "texts")

    def measurement(self, cell: Cell) -> RadioactivityStage:
        """See `Claim.measurement`."""
        from experiments.claims.radioactivity_stage import RadioactivityStage, marking, under_another_key

        row = cell.row_stage()
        own = marking(row.harvest, self.watermark)
        shifts = () if cell.recover else range(1, self.keys + 1)
        others = {own.key + s: under_another_key(row.harvest, self.watermark, s, self.texts) for s in shifts}
        student, clean = (row.evidence[role].suspect for role in ("student", "undefended"))
        learnt = row.student.training_set
        return RadioactivityStage(self.watermark, student, clean, learnt, row.harvest, others, cell.seed)

    def judge_tables(self, tables: Sequence[pl.DataFrame]) -> Finding | None:
        """See `Claim.judge_tables`."""
        if not tables:
            return None
        measured = pl.concat(tables).with_columns(pl.col("share").round(2))
        own, nulls = measured.filter("own"), measured.filter(~pl.col("own"))
        once, everywhere = (nulls.filter(pl.col("counted") == way) for way in ("once", "everywhere"))
        found = {
            "trend": _trend(own.filter((pl.col("reader") == "student") & (pl.col("counted") == "once"))),
            "tail": _less(_mean(once, SMALL), LEVEL),
            "mean": _less(_mean(once, pl.col("p")), 0.5),
            "repeats": _less(_mean(everywhere, SMALL), LEVEL),
        }
        if not any(quantity.known for quantity in found.values()):
            return None
        judged = dict(zip(found, verdicts([estimates([quantity])[0] for quantity in found.values()]), strict=True))
        evidence = tuple(
            Ground(WORDS[kind], verdict, says(verdict.reading, SUPPORTS[kind], CONTRADICTS[kind]))
            for kind, verdict in judged.items()
        )
        return Finding(_sentence(judged), evidence, _table(measured))


def _trend(student: pl.DataFrame) -> Quantity:
    """z at the largest share less z at the smallest; blank where there is one share."""
    shares = sorted(student["share"].unique())
    if len(shares) < 2:
        return blank("one watermarked share alone")
    low, high = (_over_seeds(student.filter(pl.col("share") == share), "z") for share in (shares[0], shares[-1]))
    return difference(high, low)


def _over_seeds(rows: pl.DataFrame, column: str) -> Quantity:
    """The mean of a column in each seed, as one number a seed."""
    each = rows.group_by("seed").agg(pl.col(column).mean()).sort("seed")
    return plain(each["seed"].to_list(), each[column].to_list())


def _mean(rows: pl.DataFrame, value: pl.Expr) -> Quantity:
    """The mean of a number in [0, 1] over the keys of each seed, which are its items: each seed has its own secret."""
    each = {seed: rows.filter(pl.col("seed") == seed) for seed in sorted(rows["seed"].unique())}
    if not each:
        return blank(MISSING)
    values = [own.select(value.cast(pl.Float64)).to_numpy() for own in each.values()]
    groups = [np.array([group_of(f"{seed}-{key}") for key in own["key"]]) for seed, own in each.items()]
    return means(list(each), values, groups, [True])[0]


def _less(quantity: Quantity, expected: float) -> Quantity:
    """What is found less what is expected."""
    return difference(quantity, plain(quantity.seeds, [expected] * len(quantity.seeds))) if quantity.known else quantity


def _sentence(judged: Mapping[str, HolmVerdict]) -> str:
    """What was measured of each part, with its corrected interval."""
    told = [
        FOUND[kind].format(with_interval(verdict.estimate, "share"))
        for kind, verdict in judged.items()
        if verdict.estimate.value is not None
    ]
    said = enumeration(told)
    return f"{said[0].upper()}{said[1:]}."


def _table(measured: pl.DataFrame) -> Table:
    """A row for each reader and share, those of other keys last."""
    rows: list[dict[str, Value]] = []
    order = measured.sort("own", "reader", "share", descending=True, maintain_order=True)
    for (own, reader, share), found in order.group_by("own", "reader", "share", maintain_order=True):
        ways = {way: found.filter(pl.col("counted") == way) for way in WAYS}
        once = ways["once"]
        rows.append(
            {
                "reader": reader if own else f"{reader}, other keys",
                "share": share,
                "tests": once.height,
                "pairs": float(once["n"].to_numpy().mean()),
                "p": float(np.median(once["p"].to_numpy())),
                **{way: estimates([_over_seeds(of, "z")])[0] for way, of in ways.items()},
                **{f"{way}_small": estimates([_mean(of, SMALL)])[0] for way, of in ways.items()},
            }
        )
    columns = (
        Column("reader", "reader", "text", 0),
        Column("share", "watermarked share", "share", 0),
        Column("tests", "tests", "count"),
        Column("pairs", "pairs", "count"),
        Column("p", "median p", "p"),
        *(Column(way, title) for way, title in WAYS.items()),
        *(Column(f"{way}_small", title, block=2) for way, title in WAYS.items()),
    )
    note = (
        "Clean students learnt the same prompts answered without the watermark, at that share of the same attack. Other "
        "keys: the clean student reads texts under keys that nobody learnt. Each pair once: of context and first choice, "
        "where the context is new in its text; pairs and median p are of these. Copies too: also where it is not new. Every "
        "position: a pair counts as often as it is met."
    )
    titles = ("Mean z", "Share of p ≤ .05")
    return Table("radioactive", "What students show of the watermark (claim C9)", columns, tuple(rows), (note,), titles)
