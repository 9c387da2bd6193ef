"""What follows when a process that ran stages was ended from outside: once more, then a failure of that stage only."""

from __future__ import annotations

from collections import Counter

from experiments.engine.base import Raised
from experiments.engine.schedule import Schedule

TRIES = 2
"""How often a stage is started whose worker gets killed."""


class Deaths:
    """Counts, for each stage, the workers that died with it.

    Args:
        schedule: is told what to do next.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule, self._times = schedule, Counter[str]()

    def ended(self, keys: tuple[str, ...], how: str, worker: int | str = "", story: str = "") -> None:
        """A worker died while it ran these stages as one.

        Args:
            keys: of the stages.
            how: what happened to the worker, to follow "was".
            worker: which, for the log.
            story: what it was doing when it died, where that is known.
        """
        self._schedule.display.noted("kill", {"worker": worker, "how": how, "keys": list(keys), "stack": story})
        self._times.update(keys)
        again = [key for key in keys if self._times[key] < TRIES]
        if again:
            name = self._schedule.running[again[0]].stage.name
            self._schedule.display.said(f"a worker was {how} while it ran {name}: trying once more")
            self._schedule.again(again, f"its worker was {how}")
        why = f"its worker was {how}, {TRIES} times" + ("" if story else " (out of memory? try --workers 1)")
        trace = story or "No traceback: the process was ended from outside.\n"
        for key in [key for key in keys if key not in again]:
            self._schedule.failed(key, Raised(why, f"{why}\n\n{trace}"))
