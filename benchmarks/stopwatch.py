"""Stop watches and their comparison. Knows nothing of what is timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Time:
    """How long something took.

    Args:
        wall: seconds on the clock.
        cpu: seconds of this process on all its threads; other processes on the machine disturb it less.
    """

    wall: float
    cpu: float


@dataclass(frozen=True)
class Timing:
    """One piece of work done in both ways.

    Args:
        piece: what was done.
        amount: how much of it.
        ours: time of this project.
        baseline: time of plain transformers.
        quality: what the accuracies are of; "" where both give the same by construction.
        ours_quality: accuracy that this project's way ends with.
        baseline_quality: accuracy that the plain way ends with.
        note: how the baseline was set.
        tried: other settings of the baseline that were tried.
    """

    piece: str
    amount: str
    ours: Time
    baseline: Time
    quality: str
    ours_quality: float | None
    baseline_quality: float | None
    note: str = ""
    tried: tuple[dict[str, Any], ...] = ()

    def plain(self) -> dict[str, Any]:
        """JSON-able, with the ratios (below 1: this project is faster)."""
        ratios = {
            "wall_ratio": self.ours.wall / max(self.baseline.wall, 1e-9),
            "cpu_ratio": self.ours.cpu / max(self.baseline.cpu, 1e-9),
        }
        return {**asdict(self), **ratios}


def timed(work: Callable[[], T]) -> tuple[T, Time]:
    """The result of ``work`` and how long it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, Time(time.perf_counter() - wall, time.process_time() - cpu)


def table(comparisons: list[Timing]) -> str:
    """The comparisons as GitHub-flavoured Markdown, readable on a terminal too."""
    head = (
        "piece",
        "amount",
        "ours",
        "transformers",
        "ratio",
        "CPU ratio",
        "accuracy of",
        "ours",
        "transformers",
        "baseline",
    )
    rows = [head, *(_cells(c) for c in comparisons)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _cells(c: Timing) -> tuple[str, ...]:
    plain = c.plain()
    qualities = ["–" if q is None else f"{q:.3f}" for q in (c.ours_quality, c.baseline_quality)]
    return (
        c.piece,
        c.amount,
        f"{c.ours.wall:.1f} s",
        f"{c.baseline.wall:.1f} s",
        f"{plain['wall_ratio']:.2f}",
        f"{plain['cpu_ratio']:.2f}",
        c.quality or "–",
        *qualities,
        c.note.partition(";")[0] or "–",
    )
