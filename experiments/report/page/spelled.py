"""Values as a page shows them: spelled as in every other format, and beside that in the digits of the CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments.measure.estimate import Estimate
from experiments.report.names import FAMILIES
from experiments.report.spelling import Kind, Value, interval, spell, with_interval
from experiments.report.structure import Column, Table

BARS = ("transfer ", "T_def")
"""What the keys of columns begin with whose values get a bar: shares that are compared down a column."""

IN_FAMILY = {name: key for key, name in FAMILIES.items()}


class ShownValue(NamedTuple):
    """One cell of a table.

    Args:
        text: the value.
        limits: its interval, "" without one.
        numeric: whether it stands to the right.
        digits: value, low and high to twelve digits, as in the CSV; "" each where there is none.
        bar: value, low and high as percentages of the width of a bar; None where it is no share with an interval.
        family: of the task that the column is of, "" where it is of none.
    """

    text: str
    limits: str
    numeric: bool
    digits: tuple[str, str, str]
    bar: tuple[float, float, float] | None
    family: str


class ShownRow(NamedTuple):
    """One row.

    Args:
        cells: in the order of the columns.
        cell: number of the page's cell that it is of; None where it is of several.
        defense, attack, family: by which it can be filtered, "" where it is of none or several.
    """

    cells: tuple[ShownValue, ...]
    cell: int | None
    defense: str
    attack: str
    family: str


def words(value: Value, kind: Kind) -> str:
    """As `with_interval`."""
    return with_interval(value, kind)


def numbers(value: Value) -> list[float | None]:
    """Value, low and high, or the one number there is, to twelve significant digits."""
    if isinstance(value, Estimate):
        return [_short(part) for part in (value.value, value.low, value.high)]
    return [_short(value) if isinstance(value, int | float) else None]


def shown_rows(table: Table, cells: Sequence[int] | None, names: Mapping[str, str]) -> list[ShownRow]:
    """The rows of a table.

    Args:
        table: any.
        cells: number of the page's cell of each row; None where rows are of something else.
        names: of the stacked defenses by label.
    """
    families = [
        column.key.removeprefix("transfer ") if column.key.startswith("transfer ") else "" for column in table.columns
    ]
    found = []
    for i, row in enumerate(table.rows):
        values = [
            _shown(row.get(column.key), column, family) for column, family in zip(table.columns, families, strict=True)
        ]
        told = {key: str(row.get(key) or "") for key in ("defense", "attack", "family")}
        found.append(
            ShownRow(
                tuple(values),
                None if cells is None else cells[i],
                names.get(told["defense"], ""),
                "" if told["attack"] == "any" else told["attack"],
                IN_FAMILY.get(told["family"], told["family"]),
            )
        )
    return found


def _shown(value: Value, column: Column, family: str) -> ShownValue:
    own = [*numbers(value), None, None][:3]  # of a plain number low and high are missing
    digits = ["" if part is None else f"{part:.12g}" for part in own]
    bar = None
    if column.key.startswith(BARS) and None not in own:
        v, low, high = (round(100 * min(max(part or 0.0, 0.0), 1.0), 1) for part in own)
        bar = (v, low, high)
    text, limits = spell(value, column.kind), interval(value, column.kind)
    return ShownValue(text, limits, column.kind != "text", (digits[0], digits[1], digits[2]), bar, family)


def _short(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.12g}")
