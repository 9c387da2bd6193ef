"""Where the time of a run went: seconds by what was done, and as a share of all the time that all workers had."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CATEGORIES = {
    "generation": "models write text",
    "training": "models learn",
    "scoring": "models score given text",
    "reading": "the store is read and checked",
    "writing": "the store is written",
    "waiting": "another process does the same stage",
    "other": "everything else in stages: measures, defenses, attacks",
    "idle": "workers start, or have nothing to do",
}
"""What workers do, and what it means."""

PARENT = {
    "planning": "cells are composed, and what is stored is looked up",
    "report": "tables and plots are made",
}
"""What happens before and after, in one process."""


@dataclass(frozen=True)
class Profile:
    """Where time went.

    Args:
        workers: how many there were.
        wall: seconds that they were there.
        seconds: by category, summed over workers; those of `PARENT` as well.
    """

    workers: int
    wall: float
    seconds: Mapping[str, float]

    @classmethod
    def of(cls, workers: int, wall: float, spent: Mapping[str, float], parent: Mapping[str, float]) -> Profile:
        """From what workers spent while they ran stages, and what the parent spent before and after."""
        idle = max(workers * wall - sum(spent.values()), 0.0)
        known = {name: spent.get(name, 0.0) for name in CATEGORIES}
        strange = {name: seconds for name, seconds in spent.items() if name not in known}
        return cls(
            workers, wall, {**known, **strange, "idle": idle, **{name: parent.get(name, 0.0) for name in PARENT}}
        )

    def share(self, category: str) -> float | None:
        """Of all the time of all workers; None for what is not done by workers, or where there was no time."""
        whole = self.workers * self.wall
        return None if category in PARENT or not whole else self.seconds[category] / whole

    def content(self) -> dict[str, Any]:
        """JSON-able, with shares."""
        shares = {name: self.share(name) for name in self.seconds}
        return {**asdict(self), "seconds": dict(self.seconds), "share": shares}

    def write(self, path: Path) -> None:
        """As JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.content(), indent=1) + "\n")
