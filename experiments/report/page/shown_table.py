"""A table as the template of a page takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from experiments.report.page.spelled import shown_rows
from experiments.report.structure import Table


def shown_table(table: Table, labels: dict[str, str], cells: Sequence[int] | None = None) -> dict[str, Any]:
    """Heads, rows and notes; columns in the order in which other formats print their blocks.

    Args:
        table: any.
        labels: names of the stacked defenses by label, for rows that are filtered by them.
        cells: number of the page's cell of each row; None where rows are of something else.
    """
    rows = shown_rows(table, cells, labels)
    columns = [column for _, block in table.blocks() for column in block]
    order = list(dict.fromkeys(column.key for column in columns))
    place = {column.key: i for i, column in enumerate(table.columns)}
    heads = [table.columns[place[key]] for key in order]
    families = {key: key.removeprefix("transfer ") for key in order if key.startswith("transfer ")}
    return {
        "name": table.name,
        "title": table.title,
        "heads": [(h.title, h.kind != "text", families.get(h.key, "")) for h in heads],
        "rows": [row._replace(cells=tuple(row.cells[place[key]] for key in order)) for row in rows],
        "notes": table.notes,
    }
