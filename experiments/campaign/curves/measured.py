"""The measured table behind the curves: a row for each family, defense, attack, number of queries and seed, with the mark of
every item, so that seeds and items count as in all other tables. Made from cells, or shipped with the package.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from configs.errors import ConfigError, MoatBenchError, require
from experiments.measure.cell_result import CellResult, defense_names, outcome

MODELS = ("student", "base", "teacher")
SCHEMA: dict[str, Any] = {
    "family": pl.String,
    "defense": pl.String,
    "strength": pl.Float64,
    "attack": pl.String,
    "queries": pl.Int64,
    "seed": pl.Int64,
    "items": pl.Int64,
    **dict.fromkeys(MODELS, pl.Int64),
    "transfer": pl.Float64,
    **{f"{model}_marks": pl.String for model in MODELS},
}
"""``items`` held-out items; of these ``student``, ``base`` and ``teacher`` got so many right; ``X_marks`` says which, items
in the order of their ids, the first the highest bit of the first hexadecimal digit; ``transfer`` of this seed alone, null
where teacher and base are equal."""
KEY = ("family", "defense", "strength", "attack", "queries", "seed")
SHIPPED = "curves.csv"
VARIES = (
    "defense", "defense_name", "strength", "attack", "adaptive", "harvest", "recover", "objective",
    "queries", "data", "seed",
)  # fmt: skip
"""What cells of one table may differ in; of ``settings`` it is the defense, the attack, the seed and the budget's size."""


def shipped() -> pl.DataFrame:
    """The table measured with ``moatbench sweep +experiment=curves``; docs/results/curves.md shows it."""
    return checked(pl.read_csv(files("experiments.campaign").joinpath("data", SHIPPED).read_bytes(), schema=SCHEMA))


def from_results(results: Iterable[CellResult]) -> pl.DataFrame:
    """The table of cells that stacked at most one defense.

    Greedy answers to held-out items, graded strictly; a model that was scored in one way only is taken as it was scored.

    Raises:
        MoatBenchError: no cell to use; cells that differ in more than defense, attack, queries and seed; an item that was
            scored more than once; models of a seed that were not scored on the same items.
    """
    rows: list[dict[str, Any]] = []
    ids: dict[tuple[int, str], list[str]] = {}
    background = None
    for result in results:
        names = defense_names(result.cell)
        if len(names) > 1:
            continue
        own = _background(result)
        background = background or own
        if own != background:
            raise MoatBenchError(f"cells of one curve differ in {', '.join(_differing(own, background))}")
        place = {
            "defense": names[0] if names else "none",
            "strength": result.cell.get("strength") if names else None,
            **{name: result.cell[name] for name in ("attack", "queries", "seed")},
        }
        tables = {model: _headline(result.scores[model]) for model in MODELS}
        for family in sorted(tables["student"]["family"].unique()):
            marks = {}
            for model, table in tables.items():
                part = table.filter(pl.col("family") == family).sort("item")
                items = part["item"].cast(pl.String).to_list()
                if ids.setdefault((result.seed, family), items) != items or len(set(items)) < len(items):
                    raise MoatBenchError(
                        f"seed {result.seed}: {model} was not scored once on the same items of {family}"
                    )
                marks[model] = part["strict"].cast(pl.Boolean).to_numpy()
            rows.append({"family": family, **place, **_counted(marks)})
    if not rows:
        raise MoatBenchError("no cells to make curves from: run `moatbench sweep +experiment=curves`")
    return checked(pl.DataFrame(rows, schema=SCHEMA).sort(*KEY))


def checked(table: pl.DataFrame) -> pl.DataFrame:
    """The table, if it can be what `from_results` gives: all columns, each row once, counts that agree with the marks."""
    for name in SCHEMA:
        if name not in table.columns:
            raise ConfigError("curves", table.columns, f"has no column {name!r}", SCHEMA, meant=name)
    table = table.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
    twice = table.filter(table.select(*KEY).is_duplicated())
    require(twice.is_empty(), "curves", twice.select(*KEY).head(1).to_dicts(), "is there twice")
    least = table["queries"].min() if table.height else None
    require(isinstance(least, int) and least > 0, "curves.queries", least, "must be more than 0 in every row")
    for row in table.iter_rows(named=True):
        for model in MODELS:
            right = int(unpacked(row[f"{model}_marks"], row["items"]).sum())
            require(right == row[model], f"curves.{model}", row[model], f"and its marks say {right} items are right")
    return table


def packed(marks: NDArray[np.bool_]) -> str:
    """(n,) marks as hexadecimal digits, filled up with zeros."""
    return np.packbits(marks).tobytes().hex()


def unpacked(text: str, items: int) -> NDArray[np.bool_]:
    """(items,) marks from `packed`; `ConfigError` where the text has another length or is no hexadecimal."""
    try:
        data = np.frombuffer(bytes.fromhex(text or ""), np.uint8)
    except ValueError as error:
        raise ConfigError("curves.marks", text, "is not hexadecimal") from error
    require(items >= 1 and data.size == -(-items // 8), "curves.marks", text, f"does not hold {items} items")
    return np.unpackbits(data, count=items).astype(np.bool_)


def _counted(marks: Mapping[str, NDArray[np.bool_]]) -> dict[str, Any]:
    right = {model: int(mark.sum()) for model, mark in marks.items()}
    whole = right["teacher"] - right["base"]
    return {
        "items": len(marks["student"]),
        **right,
        "transfer": (right["student"] - right["base"]) / whole if whole else None,
        **{f"{model}_marks": packed(mark) for model, mark in marks.items()},
    }


def _headline(scores: pl.DataFrame) -> pl.DataFrame:
    held = scores.filter(pl.col("split") == "heldout")
    ways = sorted(held["decoding"].unique())
    return held.filter(pl.col("decoding") == ("greedy" if "greedy" in ways else ways[0])) if ways else held


def _background(result: CellResult) -> dict[str, str]:
    """What must be the same in all cells, flat."""
    found = {k: v for k, v in result.cell.items() if k not in (*VARIES, "settings") and not outcome(k)}
    settings = dict(result.cell.get("settings") or {})
    budget = {k: v for k, v in dict(settings.get("budget") or {}).items() if k not in ("queries", "data")}
    found |= {k: v for k, v in settings.items() if k not in ("defense", "attack", "seed", "budget")} | budget
    return {name: json.dumps(value, sort_keys=True, default=str) for name, value in found.items()}


def _differing(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*a, *b} if a.get(name) != b.get(name))
