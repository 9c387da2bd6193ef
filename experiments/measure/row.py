"""One flat row per cell and seed, for parquet: configuration, attacker's costs and every measure of that seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from experiments.measure.cell_result import FACTS, CellResult
from experiments.measure.honest_load import nobody
from experiments.measure.summary import MeasureKey, estimated, summarise

Value = str | int | float | bool | None


def cell_row(
    cell: Mapping[str, Any],
    scores: Mapping[str, pl.DataFrame],
    honest: pl.DataFrame,
    honest_clean: pl.DataFrame,
    honest_load: pl.DataFrame | None = None,
    passes: pl.DataFrame | None = None,
    judged: pl.DataFrame | None = None,
) -> dict[str, Value]:
    """The row of one cell.

    Names of measures are ``measure/family/decoding/grader`` without the parts that do not apply, e.g.
    ``transfer/chain/greedy/strict``, ``T_def/all/strict``, ``refusals/all``. Blank measures are None. Which ratios are blank
    follows from the cell's own items (`experiments.measure.estimate.in_noise`), so a ratio can be blank in a row and still
    be resolved over seeds. ``relative``, which looks at other attacks, is a table's.

    Args:
        cell: configuration and outcomes; lists are joined with ``+``, other structures kept as JSON.
        scores: item tables by model, see `CellResult`.
        honest: honest requests under the defense.
        honest_clean: the same without.
        honest_load, passes, judged: see `CellResult`. How far judges agree is in ``kappa_TEXTS/JUDGE/OTHER`` with ``_low``,
            ``_high`` and ``_n`` behind it.
    """
    load = nobody() if honest_load is None else honest_load
    (summary,) = estimated([summarise([CellResult(cell, scores, honest, honest_clean, load, passes, judged)])])
    row: dict[str, Value] = {name: flat(value) for name, value in cell.items()}
    row |= {name: row.get(name) for name in FACTS}
    asked, accepted = summary.facts["asked"], summary.facts["accepted"]
    row["accepted_share"] = accepted / asked if asked and accepted is not None else None
    for measure, estimate in summary.estimates.items():
        row[column_name(measure)] = estimate.value
    for pair, found in summary.agreements.items():
        name = f"kappa_{'/'.join(pair)}"
        row |= {name: found.kappa, f"{name}_low": found.low, f"{name}_high": found.high, f"{name}_n": found.n}
    return row


def column_name(measure: MeasureKey) -> str:
    """``measure/family/decoding/grader``, empty parts left out."""
    return "/".join(part for part in measure if part)


def flat(value: object) -> Value:
    """A cell's value as one column holds it."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return "+".join(value)
    return json.dumps(value, sort_keys=True, default=str)
