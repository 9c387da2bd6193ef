"""Transcripts on a terminal: a panel an item, who says what side by side, what changed marked.

Marks are colours where a terminal has some, and signs everywhere: what is gone is in ``[-…-]``, what is new in ``{+…+}``.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text

from experiments.report.told_items import Side, ToldItem

SIGNS = {"del": ("[-", "-]", "red"), "ins": ("{+", "+}", "green")}
NARROW = 90
"""Columns of a terminal below which sides stand one under the other."""


def render_items(items: Sequence[ToldItem], console: Console) -> None:
    """Print the items; texts of models are shown as text, whatever a terminal would make of them (`PlainConsole`)."""
    for item in items:
        title = Text.assemble((item.name, "bold"), "  ", (", ".join(item.facts), "dim"))
        console.print(Panel(Group(Text(item.prompt), Text(), _sides(item, console)), title=title, title_align="left"))


def _sides(item: ToldItem, console: Console) -> RichTable:
    beside = console.width >= NARROW
    grid = RichTable.grid(padding=(0, 2), expand=True)
    shown = [_side(side) for side in item.sides]
    for _ in shown if beside else shown[:1]:
        grid.add_column(ratio=1, overflow="fold")
    if beside:
        grid.add_row(*shown)
    else:
        for one in shown:
            grid.add_row(one)
    return grid


def _side(side: Side) -> Text:
    found = Text(side.title, style="bold")
    if side.right is not None:
        found.append("  right" if side.right else "  wrong", "green" if side.right else "red")
        if side.lenient and not side.right:
            found.append(", right to the lenient grader", "dim")
    if side.remark:
        return found.append(f"\n{side.remark}\n", "italic")
    begin, end, colour = SIGNS[side.sign]
    for part, pieces in side.said:
        found.append(f"\n{part}: ", "dim")
        for changed, text in pieces:
            found.append(f"{begin}{text}{end}" if changed else text, colour if changed else "")
        if not pieces:
            found.append("–", "dim")
    return found.append("\n")
