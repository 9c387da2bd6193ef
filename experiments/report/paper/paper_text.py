"""A paper's table as Markdown, on a terminal, and as CSV in full precision."""

from __future__ import annotations

import io
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from experiments.measure.estimate import Estimate
from experiments.report.cells import PlainWriter
from experiments.report.markdown import escape
from experiments.report.paper.numerals import bracket, numeral
from experiments.report.paper.paper_table import Heading, PaperTable
from experiments.report.paper.table_spec import TableSpec
from experiments.report.spelling import Value


def markdown(table: PaperTable, spec: TableSpec) -> str:
    """A pipe table, its caption above."""
    head = "| " + " | ".join(escape(title(h)) for h in table.headings) + " |"
    rule = "|" + "|".join("---" if h.kind == "text" else "--:" for h in table.headings) + "|"
    lines = []
    for row in table.rows:
        cells = []
        for entry, h in zip(row, table.headings, strict=True):
            told = escape(numeral(entry.value, h.kind, spec))
            told = f"**{told}**" if entry.bold else told
            told += f"<sup>{entry.letters}</sup>" if entry.letters else ""
            limits = bracket(entry.value, h.kind, spec)
            cells.append(f"{told} {escape(limits)}" if limits else told)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([escape(table.caption), "", head, rule, *lines]) + "\n"


def title(heading: Heading) -> str:
    """Of a column, with what it stands under."""
    return f"{heading.group}: {heading.title}" if heading.group else heading.title


def terminal(table: PaperTable, spec: TableSpec, console: Console) -> None:
    """Print it; intervals stand below their values."""
    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for h in table.headings:
        text = h.kind == "text"
        grid.add_column(
            Text(title(h).replace(": ", ":\n")), justify="left" if text else "right", no_wrap=not text, overflow="fold"
        )
    for i, row in enumerate(table.rows):
        if i in table.rules:
            grid.add_section()
        cells = []
        for entry, h in zip(row, table.headings, strict=True):
            told = Text(numeral(entry.value, h.kind, spec), style="bold" if entry.bold else "")
            told.append(f" {entry.letters}" if entry.letters else "", style="cyan")
            limits = bracket(entry.value, h.kind, spec)
            cells.append(told.append("\n" + limits, style="dim") if limits else told)
        grid.add_row(*cells)
    console.print(grid)
    console.print(Padding(Text(table.caption, style="dim"), (0, 0, 0, 1)))


def csv(table: PaperTable) -> str:
    """A line a row: names as printed and as they are typed, then value, low and high of each column, shares as shares;
    ``KEY_best`` is 1 where the value is bold, ``KEY_letters`` its letters."""
    lines: list[dict[str, Any]] = []
    columns: dict[str, None] = {}
    for row in table.rows:
        line: dict[str, Any] = {}
        for entry, h in zip(row, table.headings, strict=True):
            if h.kind == "text":
                line |= {h.key: entry.key or entry.value, f"{h.key}_name": entry.value}
                continue
            line |= _numbers(h.key, entry.value)
            line |= {f"{h.key}_best": int(entry.bold)} if h.better else {}
            line |= {f"{h.key}_letters": entry.letters} if entry.letters else {}
        columns |= dict.fromkeys(line)
        lines.append(line)
    out = io.StringIO()
    writer = PlainWriter(out, list(columns), lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def _numbers(key: str, value: Value) -> dict[str, str]:
    """Twelve significant digits, as in the CSV of a report."""
    if not isinstance(value, Estimate):
        return {key: "" if value is None else f"{value:.12g}" if isinstance(value, float) else str(value)}
    parts = {key: value.value, f"{key}_low": value.low, f"{key}_high": value.high}
    return {name: "" if number is None else f"{number:.12g}" for name, number in parts.items()}
