"""Curves with their bands from the measured table: form chosen by held-out error, band from the points' t distributions.

Each measured point has the t interval of every other table (`experiments.measure.estimate`), its variance between
seeds learnt from all points of a family together. The band comes from draws of all points of a curve at once, from
the multivariate t distribution with these errors and with the mean correlation of the family's points (they share
teachers and items); each draw is fitted anew with the chosen form. Where a curve misses what was measured, the band
is widened to hold it. It does not hold the choice of the form, nor what another kind of teacher, student or task
would change. Outside the measured counts it is an extrapolation by that form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincinv

from configs.errors import ConfigError, MoatBenchError, require
from experiments.campaign.curves.forms import FORMS, Array, Form, fit
from experiments.campaign.curves.measured import MODELS, checked, unpacked
from experiments.measure.estimate import Estimate, estimates
from experiments.measure.quantity import GROUPS, Quantity, mean_of, means
from experiments.measure.spread import correlation
from experiments.measure.transfer import POOLED, transfer
from lm.seeds import generator

REPLICATES = 400
FEWEST_COUNTS = 4
"""One more than a form has parameters, so that a count can be left out."""

UNTOUCHED, UNWORKED, WITH_ERRORS = "untouched", "without_traces", "with_errors"
USES = {UNTOUCHED: "none", UNWORKED: "trace_hidden", WITH_ERRORS: "random_errors"}
"""Use of a harvest -> the lab's defense under which it was measured: answers as the teacher gave them; answers without their
working (all of them); answers of which a share has a wrong token."""


class Reading(NamedTuple):
    """Transfer read off a curve; arrays of the shape of what was asked.

    Args:
        value: estimate.
        low: lower limit of its 95 % interval.
        high: upper limit.
        extrapolated: whether the count lies below the least or above the largest measured one; 0 queries do not: there
            transfer is 0 by definition.
    """

    value: Array
    low: Array
    high: Array
    extrapolated: NDArray[np.bool_]


@dataclass(frozen=True)
class Curve:
    """Transfer of one family under one defense against the number of queries in the lab.

    Args:
        family: of the lab, or ``pooled``.
        defense: of the lab.
        strength: of the defense; None where it has none.
        attack: the one measured that moves most under this defense in this family.
        form: chosen by held-out error.
        parameters: (3,) a, b, c.
        draws: (R, 3) the same of each draw.
        queries: (Q,) measured counts.
        points: measured transfer at them.
        errors: name of a form -> root mean squared error at a count that was left out of its fit. Every count is left out
            once but the largest: a smaller one lies between others (or 0, where transfer is known), the largest would be
            extrapolated to, and readings say where they are that.
    """

    family: str
    defense: str
    strength: float | None
    attack: str
    form: Form
    parameters: Array
    draws: Array
    queries: Array
    points: tuple[Estimate, ...]
    errors: Mapping[str, float]

    def at(self, queries: ArrayLike) -> Reading:
        """Transfer at numbers of queries of any shape.

        The interval is the percentile interval of the draws, widened by what the curve misses: at a measured count it
        holds what was measured there, in between the miss is interpolated on log queries, below the least count it
        shrinks with the queries, above the largest it stays.

        Raises:
            ConfigError: a number below 0, or none at all (NaN).
        """
        asked = np.asarray(queries, np.float64)
        require(bool((asked >= 0).all() and np.isfinite(asked).all()), "queries", queries, "must be finite, at least 0")
        q = asked.ravel()
        value = self.form(self.parameters, q)
        limits = np.nanpercentile(self.form(self.draws, q), (2.5, 97.5), axis=0).T.reshape(-1, 2)
        miss = self._missed(q)
        low = np.maximum(np.minimum(limits[:, 0], value + np.minimum(miss, 0.0)), 0.0)
        high = np.minimum(np.maximum(limits[:, 1], value + np.maximum(miss, 0.0)), 1.0)
        outside = (q > 0) & ((q < self.queries[0]) | (q > self.queries[-1]))
        shape = asked.shape
        return Reading(value.reshape(shape), low.reshape(shape), high.reshape(shape), outside.reshape(shape))

    def _missed(self, q: Array) -> Array:
        """(N,) measured minus fitted transfer, interpolated."""
        measured = np.array([point.value for point in self.points], np.float64)
        miss = measured - self.form(self.parameters, self.queries)
        least = self.queries[0]
        between = np.interp(np.log(np.maximum(q, least)), np.log(self.queries), miss)
        return np.asarray(between * np.minimum(q / least, 1.0), np.float64)


@dataclass(frozen=True)
class Curves:
    """All curves of a measured table.

    Args:
        curves: (family, use) -> the curve of the best attack; families are the lab's and ``pooled``, uses those of `USES`
            that were measured.
        every: all that was fitted, other attacks too.
        seeds: ascending.
        largest: the largest measured count in all curves, the lab's query budget.
    """

    curves: Mapping[tuple[str, str], Curve]
    every: tuple[Curve, ...] = field(repr=False)
    seeds: tuple[int, ...]
    largest: int

    @property
    def families(self) -> tuple[str, ...]:
        """The lab's families and ``pooled``."""
        return tuple(dict.fromkeys(family for family, _ in self.curves))

    @property
    def error_rate(self) -> float:
        """Share of answers with a wrong token behind `WITH_ERRORS`; 0 where that was not measured."""
        return max(
            (curve.strength or 0.0 for (_, use), curve in self.curves.items() if use == WITH_ERRORS), default=0.0
        )


def fit_curves(table: pl.DataFrame, replicates: int = REPLICATES, entropy: int = 0) -> Curves:
    """Fit every family, and all pooled, under every measured use and attack.

    Args:
        table: see `experiments.campaign.curves.measured`; other defenses than those of `USES` are left aside.
        replicates: draws of a band.
        entropy: seed of the draws.

    Raises:
        ConfigError: nothing measured without a defense; a cell that lacks a seed or a family that others have; several
            rates of errors; fewer than `FEWEST_COUNTS` counts.
        MoatBenchError: a family in which the teacher cannot be told from the base student.
    """
    require(replicates >= 1, "replicates", replicates, "must be at least 1")
    table = _of_use(checked(table))
    seeds = tuple(sorted(table["seed"].unique()))
    read = {name: _read(part, seeds, name) for name, part in _families(table)}
    found = {key for quantities in read.values() for key in quantities if key[0]}
    keys = sorted(found, key=lambda key: (key[0], key[1] or 0.0, *key[2:]))
    columns = {family: _Points(family, keys, read) for family in (*read, POOLED)}
    every: list[Curve] = []
    for setting in dict.fromkeys((d, s, a) for d, s, a, _ in keys):
        every += [_curve(points, setting, replicates, entropy) for points in columns.values()]
    best = {}
    for use, defense in USES.items():
        for family in (*read, POOLED):
            rivals = [curve for curve in every if curve.family == family and curve.defense == defense]
            if rivals:
                best[family, use] = max(rivals, key=lambda c: np.mean([p.value or 0.0 for p in c.points]))
    return Curves(best, tuple(every), seeds, int(max(curve.queries[-1] for curve in every)))


Setting = tuple[str, float | None, str]
Key = tuple[str, float | None, str, int]
"""Defense, strength, attack, queries; ("", None, model, 0) is a model that no attack changes."""


def _of_use(table: pl.DataFrame) -> pl.DataFrame:
    """Rows that some use is measured by; hidden traces only where all are."""
    whole = (pl.col("defense") != USES[UNWORKED]) | (pl.col("strength") == 1)
    table = table.filter(pl.col("defense").is_in(list(USES.values())) & whole)
    there = table["defense"].unique()
    require(
        USES[UNTOUCHED] in there, "curves.defense", sorted(there), "holds nothing measured without a defense (none)"
    )
    rates = table.filter(pl.col("defense") == USES[WITH_ERRORS])["strength"].unique().sort().to_list()
    require(len(rates) <= 1 and None not in rates, "curves.strength", rates, "of random_errors: one rate is needed")
    return table


def _families(table: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return [(str(name), part) for (name,), part in table.sort("family").group_by("family", maintain_order=True)]


def _read(table: pl.DataFrame, seeds: Sequence[int], family: str) -> dict[Key, Quantity]:
    """Accuracy of every student, of base and teacher."""
    columns: dict[Key, dict[int, NDArray[np.bool_]]] = {}
    for row in table.iter_rows(named=True):
        for model in MODELS:
            key: Key = ("", None, model, 0)
            if model == "student":
                key = (row["defense"], row["strength"], row["attack"], row["queries"])
            marks = unpacked(row[f"{model}_marks"], row["items"])
            kept = columns.setdefault(key, {}).setdefault(row["seed"], marks)
            if not np.array_equal(kept, marks):
                raise ConfigError(f"curves.{model}_marks", family, f"differ between the rows of seed {row['seed']}")
    for key, marked in columns.items():
        missing = [seed for seed in seeds if seed not in marked]
        require(not missing, "curves.seed", missing, f"are missing for {family} under {key}")
    values = []
    for seed in seeds:
        marks_of_seed = [marked[seed] for marked in columns.values()]
        sizes = {len(marks) for marks in marks_of_seed}
        require(len(sizes) == 1, "curves.items", sorted(sizes), f"must be one number for {family} and seed {seed}")
        values.append(np.stack(marks_of_seed, axis=1).astype(np.float64))
    groups = [np.arange(len(part)) % GROUPS for part in values]
    return dict(zip(columns, means(seeds, values, groups, [True] * len(columns)), strict=True))


class _Points:
    """All measured points of a family, with what they share."""

    def __init__(self, family: str, keys: Sequence[Key], read: Mapping[str, dict[Key, Quantity]]) -> None:
        moved = [_moved(family, key, read) for key in keys]
        self.family, self.keys = family, keys
        self.found = dict(zip(keys, estimates(moved), strict=True))
        for estimate in self.found.values():
            if estimate.value is None:
                raise MoatBenchError(
                    f"no transfer of {family} can be read: {estimate.reason} (teacher against base student)"
                )
        errors = np.array([[e.error or 1.0] for e in self.found.values()])
        self.shared = max(correlation(np.stack([q.values - q.point for q in moved]) / errors), 0.0)

    def draws(self, keys: Sequence[Key], count: int, rng: np.random.Generator) -> Array:
        """(R, Q) of the multivariate t distribution of these points."""
        found = [self.found[key] for key in keys]
        normal = np.sqrt(self.shared) * rng.normal(size=(count, 1)) + np.sqrt(1 - self.shared) * rng.normal(
            size=(count, len(keys))
        )
        freedom = np.array([1e6 if e.freedom is None else e.freedom for e in found])
        chi = 2 * gammaincinv(freedom / 2, rng.random((count, 1)))
        error = np.array([e.error or 0.0 for e in found])
        return np.asarray([e.value for e in found] + error * normal * np.sqrt(freedom / chi), np.float64)


def _curve(points: _Points, setting: Setting, replicates: int, entropy: int) -> Curve:
    defense, strength, attack = setting
    keys = [key for key in points.keys if key[:3] == setting]
    queries = [key[3] for key in keys]
    enough = len(queries) >= FEWEST_COUNTS
    require(enough, "curves.queries", queries, f"of {defense}, {attack}: {FEWEST_COUNTS} counts are needed")
    shown = tuple(points.found[key] for key in keys)
    q, values = np.array(queries, np.float64), np.array([e.value for e in shown], np.float64)
    errors = {form.name: _held_out_error(form, q, values) for form in FORMS}
    form = min(FORMS, key=lambda f: errors[f.name])
    # The same luck for every curve of a family: what they share stays shared.
    draws = points.draws(keys, replicates, generator(entropy, "curves", points.family))
    return Curve(
        points.family, defense, strength, attack, form, fit(form, q, values)[0], fit(form, q, draws), q, shown, errors
    )


def _moved(family: str, key: Key, read: Mapping[str, dict[Key, Quantity]]) -> Quantity:
    """Transfer at one count: of a family, or the ratio of the means over all."""
    names = tuple(read) if family == POOLED else (family,)
    for name in names:
        require(key in read[name], "curves.family", name, f"was not measured under {key}")
    student, base, teacher = (
        mean_of([read[name][k] for name in names]) for k in (key, ("", None, "base", 0), ("", None, "teacher", 0))
    )
    return transfer(student, base, teacher)


def _held_out_error(form: Form, q: Array, points: Array) -> float:
    """Root mean squared error of each count but the largest, predicted from the others."""
    left = ~np.eye(len(q), dtype=np.bool_)[:-1]
    missed = [form(fit(form, q, points, used)[0], q)[i] - points[i] for i, used in enumerate(left)]
    return float(np.sqrt(np.mean(np.square(missed))))
