"""A table as data, before any format: columns with their kinds, rows of values, notes beneath."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from experiments.measure.estimate import Estimate
from experiments.report.spelling import LEGEND, Kind, Value


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        key: of the rows' mappings.
        title: heading.
        kind: how values are spelled.
        block: 0: identifies the row and is repeated in every block; 1, 2: the block it is printed in where the page is
            too narrow for all.
    """

    key: str
    title: str
    kind: Kind = "share"
    block: int = 1


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        name: short, for labels and file names.
        title: one line.
        columns: in order.
        rows: values by column key.
        remarks: lines beneath, to which the legend of the marks in the rows is added: `notes`.
        block_titles: what each block shows.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Value], ...]
    remarks: tuple[str, ...] = ()
    block_titles: tuple[str, ...] = ("",)

    @property
    def notes(self) -> tuple[str, ...]:
        """All lines beneath."""
        values = [value for row in self.rows for value in row.values()]
        marks = {value.mark for value in values if isinstance(value, Estimate)}
        legend = "; ".join(words for mark, words in LEGEND.items() if mark in marks)
        return (*self.remarks, f"{legend}.") if legend else self.remarks

    def blocks(self) -> list[tuple[str, list[Column]]]:
        """Title and columns of each block, identifying columns first."""
        names = [column for column in self.columns if column.block == 0]
        return [
            (title, names + [column for column in self.columns if column.block == number])
            for number, title in enumerate(self.block_titles, start=1)
            if any(column.block == number for column in self.columns)
        ]
