"""Where prompts of an attacker's own making meet what is scored: a student must not be tested on what it learnt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lm.examples import Examples
from tasks.base import Item, Task


def asks_scored(task: Task, texts: Sequence[str], scored: Iterable[Item]) -> NDArray[np.bool_]:
    """(T,) whether each text asks for what one of the scored items asks for (`Task.asks_for`)."""
    asked = {task.asks_for(item.prompt) for item in scored}
    return np.array([task.asks_for(text) in asked for text in texts], np.bool_)


def apart(rows: Examples, overlaps: NDArray[np.bool_]) -> Examples:
    """The rows whose prompt does not overlap; those of no item (public ones) stay.

    Args:
        rows: training rows.
        overlaps: (P,) by item.
    """
    own = rows.item >= 0
    return rows.where(~(own & overlaps[np.where(own, rows.item, 0)])) if len(overlaps) else rows
