"""Tables as GitHub-flavoured Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from configs.text import one_line
from experiments.report.spelling import with_interval
from experiments.report.structure import Table


def render(tables: Sequence[Table], words: Sequence[str], title: str) -> str:
    """A page: heading, what the tables show, then each table with its notes."""
    parts = [f"# {escape(title)}", *(escape(sentence) for sentence in words)]
    for table in tables:
        parts += [f"## {escape(table.title)}", grid(table), "\n".join(f"- {escape(note)}" for note in table.notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def grid(table: Table) -> str:
    """One pipe table with all columns, numbers to the right."""
    head = "| " + " | ".join(escape(column.title) for column in table.columns) + " |"
    rule = "|" + "|".join("---" if column.kind == "text" else "--:" for column in table.columns) + "|"
    body = [
        "| " + " | ".join(escape(with_interval(row.get(c.key), c.kind)) for c in table.columns) + " |"
        for row in table.rows
    ]
    return "\n".join([head, rule, *body])


def escape(text: str) -> str:
    """Text of one line in which Markdown sees no markup and a pipe table no end of a cell. Brackets stay, as intervals have
    them, but nothing behind one makes a link of it."""
    text = one_line(text)
    for character in "\\|*_<>`":
        text = text.replace(character, "\\" + character)
    return text.replace("](", "]\\(").replace("][", "]\\[")
