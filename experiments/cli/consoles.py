"""Where reports and progress are written: results to standard output, everything else to standard error; how counts read."""

from __future__ import annotations

import os
import sys

from rich.console import Console

WIDTH = 120
"""Columns of a report that goes to a file or a pipe."""


def results() -> Console:
    """For what was asked for."""
    narrow = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if narrow else WIDTH)


def remarks() -> Console:
    """For progress, plans and failures."""
    narrow = sys.stderr.isatty() or "COLUMNS" in os.environ
    return Console(stderr=True, width=None if narrow else WIDTH)


def count(number: int, noun: str) -> str:
    """3 cells, 1 cell."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
