"""The report on a request log, written in every format."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.text import Text

from experiments.campaign.logs.alarm_tables import sentences_of, tables_of
from experiments.campaign.logs.replay import Replayed
from experiments.report import markdown, terminal
from experiments.report.cells import PlainWriter
from experiments.report.file_names import require_name
from experiments.report.structure import Table
from experiments.report.table_records import table_records


@dataclass(frozen=True)
class LogReport:
    """What was found and where it was written.

    Args:
        name: of the report.
        tables: see `tables_of`.
        words: a sentence each.
        files: paths by kind: md, json, alarms, groups.
    """

    name: str
    tables: tuple[Table, ...]
    words: tuple[str, ...]
    files: dict[str, Path]

    def terminal(self, console: Console) -> None:
        """Print tables, then words."""
        said: set[str] = set()
        for table in self.tables:
            terminal.render(table, console, said)
            said.update(table.notes)
        for sentence in self.words:
            console.print(Text(sentence))


def write_log_report(found: Replayed, out: Path, name: str) -> LogReport:
    """Write NAME.md, NAME.json, NAME_alarms.csv (a row for each detector and account) and NAME_groups.csv."""
    require_name("--name", name)
    tables, words = tables_of(found), sentences_of(found)
    out.mkdir(parents=True, exist_ok=True)
    files = {"md": out / f"{name}.md", "json": out / f"{name}.json"}
    files |= {kind: out / f"{name}_{kind}.csv" for kind in ("alarms", "groups")}
    texts = {
        "md": markdown.render(tables, words, f"Request log: {name}"),
        "json": json.dumps(_document(found, tables, words), indent=1, sort_keys=True, allow_nan=False) + "\n",
        "alarms": _csv(found.alarms.sort("time", "detector", "account")),
        "groups": _csv(found.groups.sort("time", "detector", "group")),
    }
    for kind, text in texts.items():
        files[kind].write_text(text, encoding="utf-8")
    return LogReport(name, tables, words, files)


def _csv(frame: pl.DataFrame) -> str:
    """Names of accounts are untrusted: no cell is a formula, see `PlainWriter`."""
    out = io.StringIO()
    writer = PlainWriter(out, frame.columns, lineterminator="\n")
    writer.writeheader()
    for row in frame.iter_rows(named=True):
        when = datetime.fromtimestamp(row["time"], UTC).isoformat().replace("+00:00", "Z")
        writer.writerow(row | {"time": when})
    return out.getvalue()


def _document(found: Replayed, tables: tuple[Table, ...], words: tuple[str, ...]) -> dict[str, Any]:
    return {
        "reference": found.reference,
        "requests": found.judged,
        "columns": sorted(found.log.has - {"asn"}),
        "left_out": [one._asdict() for one in found.left_out],
        "words": list(words),
        "tables": table_records(tables),
    }
