"""What stands under a table about cells that cannot be trusted."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.guards import Tripped, tripped
from experiments.measure.summary import Summary

SHOWN = 4
"""Cells that a note names before it counts the rest."""


def guard_notes(summaries: Sequence[Summary]) -> tuple[str, ...]:
    """A line for each guard that tripped, with the cells in which it did."""
    cells: dict[Tripped, list[str]] = {}
    for s in summaries:
        for found in tripped(s):
            cells.setdefault(found, []).append(f"{s.defense}, {s.attack}")
    return tuple(
        f"Guard {guard}: {what} ({_where(places, len(summaries))})." for (guard, what), places in cells.items()
    )


def _where(places: Sequence[str], total: int) -> str:
    if len(places) == total:
        return "all cells" if total > 1 else places[0]
    named = "; ".join(places[:SHOWN])
    return named if len(places) <= SHOWN else f"{named}; {len(places) - SHOWN} more"
