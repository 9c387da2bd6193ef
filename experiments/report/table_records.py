"""Tables as JSON: what the files of all reports have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from experiments.measure.estimate import Estimate
from experiments.report.spelling import Value
from experiments.report.structure import Table


def table_records(tables: Iterable[Table]) -> list[dict[str, Any]]:
    """Name, title, rows and notes of each."""
    return [
        {
            "name": table.name,
            "title": table.title,
            "rows": [{key: json_value(value) for key, value in row.items()} for row in table.rows],
            "notes": list(table.notes),
        }
        for table in tables
    ]


def json_value(value: Value) -> Any:
    """Floats to twelve significant digits; of an estimate what it has, and its p-value."""
    if isinstance(value, Estimate):
        known = {
            key: json_value(part)
            for key, part in value._asdict().items()
            if part not in (None, "") and part is not False
        }
        return known if value.p is None else known | {"p": json_value(value.p)}
    return float(f"{value:.12g}") if isinstance(value, float) else value
