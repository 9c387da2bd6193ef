"""Tables on a terminal: blocks side by side with their keys repeated; intervals move below the value where it is narrow."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from experiments.report.spelling import interval, spell, with_interval
from experiments.report.structure import Column, Table

GAP = 2
"""Columns between two cells: one of padding, one of the box."""


def render(table: Table, console: Console, said: Collection[str] = ()) -> None:
    """Print a table so that it fits the console's width, from 100 columns on; notes that were ``said`` are left out."""
    console.print(Text(table.title, style="bold"))
    for title, columns in table.blocks():
        stacked = _width(table, columns) > console.width
        if title:
            console.print(Text(title, style="italic"))
        console.print(_grid(table, columns, stacked))
    for note in (note for note in table.notes if note not in said):
        console.print(Padding(Text(note, style="dim"), (0, 0, 0, 1)))
    console.print()


def _grid(table: Table, columns: Sequence[Column], stacked: bool) -> RichTable:
    grid = RichTable(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    for column in columns:
        numeric = column.kind != "text"
        title = column.title.replace(" ", "\n") if stacked and numeric else column.title
        grid.add_column(title, justify="right" if numeric else "left", no_wrap=numeric, overflow="fold")
    for row in table.rows:
        cells = []
        for column in columns:
            value = row.get(column.key)
            limits = interval(value, column.kind)
            text = Text(
                _broken(spell(value, column.kind)) if stacked and column.block == 0 else spell(value, column.kind)
            )
            if limits:
                text.append(("\n" if stacked else " ") + limits, style="dim")
            cells.append(text)
        grid.add_row(*cells)
    return grid


def _broken(label: str, most: int = 16) -> str:
    """A long label with its strength, and each defense of a stack, on a line of its own."""
    if len(label) <= most:
        return label
    return label.replace(" + ", "\n+ ").replace(" (", "(").replace("(", "\n(")


def _width(table: Table, columns: Sequence[Column]) -> int:
    """Columns that the block takes with intervals beside their values."""
    return sum(
        GAP + max(len(column.title), *(len(with_interval(row.get(column.key), column.kind)) for row in table.rows), 1)
        for column in columns
    )
