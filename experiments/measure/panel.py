"""Item tables of one configuration over its seeds, aligned by item into arrays, with the group of each item."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from experiments.measure.cell_result import MODELS, CellResult
from experiments.measure.quantity import Quantity, group_of, means
from teacher.api.schema import OK

ALL = "all"
"""Name, among the families of the honest block, of all requests together."""

GRADES = ("strict", "lenient")
CONDITIONS = ("finished", "formed")
SCORE_METRICS = (
    *GRADES,
    *CONDITIONS,
    *(f"{grade}_{condition}" for condition in CONDITIONS for grade in GRADES),
    "step_correct",
    "tokens",
)
STUDENTS = ("student", "undefended")
"""Models of which everything is measured; of the others only the grades."""

HONEST_METRICS = (
    "strict",
    "lenient",
    "accepted",
    "strict_accepted",
    "lenient_accepted",
    "finished",
    "strict_finished",
    "waited",
    "trace_kept",
    "trace_audited",
    "input_tokens",
    "output_tokens",
    "dollars",
)
UNBOUNDED = ("tokens", "waited", "input_tokens", "output_tokens", "dollars")
"""Metrics that are no shares: all others lie in [0, 1]."""
SIDES = {"defended": HONEST_METRICS, "clean": GRADES}
"""What is measured of honest users behind the defense, and of the same users without one."""

Column = tuple[str, str, str]


@dataclass(frozen=True)
class Panel:
    """Aligned items.

    Args:
        columns: C names: (model, decoding, metric) of scores, (side, family, metric) of honest users.
        values: an (n_s, C) array per seed; NaN where a column lacks an item.
        groups: (n_s,) `experiments.measure.quantity.group_of` each item, per seed.
    """

    columns: tuple[Column, ...]
    values: tuple[NDArray[np.float64], ...]
    groups: tuple[NDArray[np.int64], ...]

    def means(self, seeds: Sequence[int]) -> dict[Column, Quantity]:
        """The mean of every column over its items."""
        bounded = [metric not in UNBOUNDED for *_, metric in self.columns]
        return dict(zip(self.columns, means(seeds, self.values, self.groups, bounded), strict=True))


def score_blocks(results: Sequence[CellResult]) -> dict[str, dict[str, Panel]]:
    """Per split and family, the scores of all models, items paired by id within a seed.

    An item scored several times (several draws) counts with its mean. ``X_finished`` is X where the response finished and
    missing elsewhere: accuracy given finished; ``X_formed`` is X where it has the form that is asked for.

    Args:
        results: one configuration, one result a seed.
    """
    scored = _scored(results)
    places = sorted({place[:2] for models in scored for parts in models.values() for place in parts})
    blocks: dict[str, dict[str, Panel]] = {"heldout": {}, "harder": {}}
    for split, family in places:
        keys = sorted(
            {(m, p[2]) for models in scored for m, ps in models.items() for p in ps if p[:2] == (split, family)}
        )
        columns = tuple((m, decoding, metric) for m, decoding in keys for metric in _metrics(m))
        values, groups = zip(*(_score_array(models, split, family, keys) for models in scored), strict=True)
        blocks.setdefault(split, {})[family] = Panel(columns, values, groups)
    return blocks


def _metrics(model: str) -> tuple[str, ...]:
    return SCORE_METRICS if model in STUDENTS else GRADES


Scored = dict[tuple[str, str, str], tuple[NDArray[np.object_], NDArray[np.float64]]]
"""By split, family and decoding: ids, ascending, and (n, M) values of `SCORE_METRICS`."""


def _scored(results: Sequence[CellResult]) -> list[dict[str, Scored]]:
    """By result and model."""
    place, own = (
        ("split", "family", "decoding"),
        pl.col(*GRADES, *CONDITIONS, "step_correct", "tokens").cast(pl.Float64),
    )
    named = [(i, model) for i, result in enumerate(results) for model in MODELS if model in result.scores]
    known = [
        results[i].scores[model].lazy().select(pl.lit(number).alias("table"), *place, "item", own)
        for number, (i, model) in enumerate(named)
    ]
    given = pl.concat(known).with_columns(
        pl.when(pl.col(condition) == 1).then(pl.col(grade)).alias(f"{grade}_{condition}")
        for condition in CONDITIONS
        for grade in GRADES
    )
    # one plan: a table is small, and each operation by itself costs as much as all of them together
    keys = ("table", *place)
    frame = _by_key(given.collect(), (*keys, "item"), SCORE_METRICS)
    values, ids = _floats(frame, SCORE_METRICS), np.array(frame["item"].to_list(), object)
    numbers = _numbered(frame, keys)
    starts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist()] if len(numbers) else []
    found: list[dict[str, Scored]] = [{m: {} for m in MODELS if m in result.scores} for result in results]
    for i, end, (number, *own_place) in zip(
        starts, (*starts[1:], len(frame)), frame[starts].select(keys).iter_rows(), strict=True
    ):
        at, model = named[number]
        found[at][model][tuple(own_place)] = ids[i:end], values[i:end]
    return found


def _score_array(
    models: dict[str, Scored], split: str, family: str, keys: Sequence[tuple[str, str]]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    parts = [(model, models.get(model, {}).get((split, family, decoding))) for model, decoding in keys]
    own = [part[0] for _, part in parts if part is not None]
    alike = all(np.array_equal(own[0], other) for other in own[1:])  # as where all models answer the same items
    ids = own[0] if own and alike else np.array(sorted({i for some in own for i in some}), object)
    columns = []
    for model, part in parts:
        if part is not None and alike:
            values = part[1]
        else:
            values = np.full((len(ids), len(SCORE_METRICS)), np.nan)
            if part is not None:
                values[np.searchsorted(ids, part[0])] = part[1]
        columns.append(values[:, : len(_metrics(model))])
    return np.concatenate(columns, axis=1), _groups(ids)


def honest_block(results: Sequence[CellResult]) -> Panel:
    """Requests of legitimate users with (``defended``) and without (``clean``) the defense, paired by item and account.

    A request without an answer (any status but `OK`: refused, or never sent) counts as wrong in ``strict`` and
    ``lenient`` and is missing in everything about the answer: ``X_accepted``, ``finished``, the trace. ``X_finished``
    is X given an answer that finished. Waiting is in seconds a request; dollars, tokens a request.

    Args:
        results: one configuration, one result a seed.
    """
    tables = [table for r in results for table in (r.honest, r.honest_clean)]
    asked = iter(_honest(tables))
    prepared = [{"defended": next(asked), "clean": next(asked)} for _ in results]
    families = sorted({key[0] for sides in prepared for side in sides.values() for key in side[0]})
    columns = tuple((side, f, m) for side, metrics in SIDES.items() for f in (ALL, *families) for m in metrics)
    values, groups = zip(*(_honest_array(frames, families) for frames in prepared), strict=True)
    return Panel(columns, values, groups)


Asked = tuple[list[tuple[str, str, str]], NDArray[np.float64]]
"""Family, item and account of requests, ascending, and (n, M) values of `HONEST_METRICS`."""


def _honest(tables: Sequence[pl.DataFrame]) -> list[Asked]:
    """Of each table; one without rows may lack columns."""
    keys = ("family", "item", "account")
    found: list[Asked] = [([], np.empty((0, len(HONEST_METRICS))))] * len(tables)
    some = [i for i, table in enumerate(tables) if table.height]
    if not some:
        return found
    ok = pl.col("status") == OK
    numeric = (
        "strict",
        "lenient",
        "finished",
        "waited",
        "trace_kept",
        "trace_audited",
        "input_tokens",
        "output_tokens",
    )
    own = (pl.col(*numeric, "dollars").cast(pl.Float64), pl.col("account").cast(pl.String), "status", "family", "item")
    known = [tables[i].lazy().select(pl.lit(i).alias("table"), *own) for i in some]
    frame = pl.concat(known).with_columns(
        *(pl.when(ok).then(pl.col(m)).otherwise(0.0).alias(m) for m in ("strict", "lenient")),
        *(pl.when(ok).then(pl.col(m)).alias(f"{m}_accepted") for m in ("strict", "lenient")),
        *(pl.when(ok).then(pl.col(m)).alias(m) for m in ("finished", "trace_kept", "trace_audited")),
        pl.when(ok & (pl.col("finished") == 1)).then(pl.col("strict")).alias("strict_finished"),
        ok.cast(pl.Float64).alias("accepted"),
    )
    whole = _by_key(frame.collect(), ("table", *keys), HONEST_METRICS)
    values, named = _floats(whole, HONEST_METRICS), list(zip(*(whole[key].to_list() for key in keys), strict=True))
    ends = np.searchsorted(whole["table"].to_numpy(), some, side="right").tolist()
    for i, start, end in zip(some, (0, *ends), ends, strict=False):
        found[i] = named[start:end], values[start:end]
    return found


def _honest_array(sides: dict[str, Asked], families: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    (first, _), *others = sides.values()
    alike = all(keys == first for keys, _ in others)  # as where the same users were asked again without the defense
    place = {
        key: row for row, key in enumerate(first if alike else sorted({k for ks, _ in sides.values() for k in ks}))
    }
    family = np.array([key[0] for key in place], dtype=object)
    columns = []
    for side, (keys, own) in sides.items():
        values = np.full((len(place), len(HONEST_METRICS)), np.nan)
        values[slice(None) if alike else [place[key] for key in keys]] = own
        values = values[:, : len(SIDES[side])]
        columns += [values, *(np.where((family == name)[:, None], values, np.nan) for name in families)]
    return np.concatenate(columns, axis=1), _groups([item for _, item, _ in place])


def _groups(items: Iterable[object]) -> NDArray[np.int64]:
    return np.array([group_of(str(item)) for item in items], np.int64)


def _by_key(frame: pl.DataFrame, keys: Sequence[str], metrics: Sequence[str]) -> pl.DataFrame:
    """A row a key, in their order, with the mean of each metric."""
    known = frame.with_columns(pl.Series("number", _numbered(frame, keys)))
    if known["number"].n_unique() < len(known):
        first = pl.col(*keys).first()
        return known.group_by("number").agg(first, _mean(metrics)).sort("number")
    return known.sort("number").with_columns(pl.col(*metrics).cast(pl.Float64).fill_null(float("nan")))


def _numbered(frame: pl.DataFrame, keys: Sequence[str]) -> NDArray[np.int64]:
    """(rows,) whole numbers in the order of the keys, equal where all of them are: quicker to sort than several texts."""
    number = np.zeros(len(frame), np.int64)
    for key in keys:
        column = frame[key]
        if column.dtype == pl.String:
            column = column.cast(pl.Enum(column.unique().sort())).to_physical()
        codes = column.to_numpy().astype(np.int64)
        number = number * (int(codes.max(initial=0)) + 1) + codes
    return number


def _mean(metrics: Sequence[str]) -> pl.Expr:
    """Of each metric; NaN where it is null throughout."""
    return pl.col(*metrics).mean().cast(pl.Float64).fill_null(float("nan"))


def _floats(frame: pl.DataFrame, metrics: Sequence[str]) -> NDArray[np.float64]:
    """(n, M) values."""
    return np.asarray(frame.select(*metrics).to_numpy(), np.float64).reshape(-1, len(metrics))
