"""Where reports and progress are written: results to standard output, everything else to standard error; how counts read."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from configs.text import printable

WIDTH = 120
"""Columns of a report that goes to a file or a pipe."""

LEAST = 40
"""Columns that a report takes at least: in fewer nothing can be read."""


class PlainConsole(Console):
    """Shows text that somebody else may have written: whatever a terminal would obey in it is spelled out."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See `rich.console.Console.render`."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield segment._replace(text=printable(segment.text))


def results() -> Console:
    """For what was asked for."""
    return PlainConsole(width=_width(sys.stdout.isatty()))


def remarks() -> Console:
    """For progress, plans and failures."""
    return PlainConsole(stderr=True, width=_width(sys.stderr.isatty()))


def _width(terminal: bool) -> int | None:
    """Columns; None follows a terminal. A ``COLUMNS`` of 0 says nothing."""
    if "COLUMNS" in os.environ:
        return max(shutil.get_terminal_size((WIDTH, 24)).columns, LEAST)
    return None if terminal else WIDTH


def count(number: int, noun: str, nouns: str = "") -> str:
    """3 cells, 1 cell; the plural where it is not made with an s."""
    return f"{number} {noun if number == 1 else nouns or noun + 's'}"


def not_written(place: Path) -> str:
    """Said where a report was shown and could not be written."""
    return f"the report was not written: {place} cannot be written to; name another folder with out=PATH"
