"""A report that is nothing but tables and words, in every format that needs no picture."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.measure.estimate import Estimate
from experiments.report import latex, markdown
from experiments.report.cells import PlainWriter
from experiments.report.file_names import require_name
from experiments.report.spelling import Value
from experiments.report.structure import Table
from experiments.report.write import Report
from experiments.store.maintenance.lineage import COLUMNS, Lineage, joined

PARTS = ("value", "low", "high")


def write_tables(
    tables: Sequence[Table], words: Sequence[str], out: Path, name: str, lineages: Sequence[Lineage] = ()
) -> Report:
    """Write NAME.md, .csv, .tex, NAME_page.tex and .json. The CSV is of the first table.

    Args:
        tables: in order.
        words: what they show.
        out: folder, created if need be.
        name: stem of the files.
        lineages: where each row of the first table comes from; said in CSV and JSON.

    Raises:
        ConfigError: the name is none for files.
        OSError: the folder cannot be written.
    """
    require_name("name", name)
    files = {kind: out / f"{name}.{kind}" for kind in ("md", "csv", "tex", "json")}
    files["page"] = out / f"{name}_page.tex"
    title = f"MoatBench: {name}"
    record = {
        "name": name,
        "words": list(words),
        "tables": [{"name": t.name, "rows": [_record(row) for row in t.rows], "notes": list(t.notes)} for t in tables],
        **({"made": [one.record() for one in lineages]} if lineages else {}),
        "origins": [origin.record() for origin in joined(lineages).origins],
    }
    texts = {
        "md": markdown.render(tables, words, title),
        "csv": _csv(tables[0], [one.told() for one in lineages] or [{} for _ in tables[0].rows]),
        "tex": latex.fragment(tables),
        "page": latex.page(files["tex"].name, title, words),
        "json": json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n",
    }
    out.mkdir(parents=True, exist_ok=True)
    for kind, text in texts.items():
        files[kind].write_text(text, encoding="utf-8")
    return Report(name, tuple(tables), tuple(words), files)


def _record(row: Mapping[str, Value]) -> dict[str, Any]:
    return {key: _parts(value) if isinstance(value, Estimate) else value for key, value in row.items()}


def _parts(estimate: Estimate) -> dict[str, float]:
    """Twelve significant digits: more would differ with the order in which a machine adds."""
    known = {part: getattr(estimate, part) for part in PARTS}
    return {part: float(f"{number:.12g}") for part, number in known.items() if number is not None}


def _csv(table: Table, made: Sequence[Mapping[str, str]]) -> str:
    """A line per row; of an estimate value, low and high; where it comes from."""
    estimates = {key for row in table.rows for key, value in row.items() if isinstance(value, Estimate)}
    columns = [
        name
        for column in table.columns
        for name in ([f"{column.key}_{part}" for part in PARTS] if column.key in estimates else [column.key])
    ]
    columns += [name for name in COLUMNS if name not in columns]
    out = io.StringIO()
    writer = PlainWriter(out, columns, lineterminator="\n", restval="")
    writer.writeheader()
    for row, origin in zip(table.rows, made, strict=True):
        line: dict[str, Any] = dict(origin)
        for key, value in row.items():
            if isinstance(value, Estimate):
                line |= {f"{key}_{part}": f"{number:.12g}" for part, number in _parts(value).items()}
            elif key not in estimates and value is not None:
                line[key] = value
        writer.writerow(line)
    return out.getvalue()
