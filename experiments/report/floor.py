"""The noise floor of a table: the smallest difference that it could have told from 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.measure.estimate import Estimate
from experiments.report.names import family_name
from experiments.report.spelling import share


def floor_of(differences: Sequence[Estimate]) -> float | None:
    """Half the width of the interval of a difference, the median over those that speak of seeds; None where none does."""
    halves = [(e.high - e.low) / 2 for e in differences if e.freedom and e.low is not None and e.high is not None]
    return float(np.median(halves)) if halves else None


def floor_note(what: str, differences: Mapping[str, Sequence[Estimate]]) -> str:
    """``Noise floor: ... reasoning .07, coding .01.``, by family; '' where nothing speaks of seeds.

    Args:
        what: the difference, in words.
        differences: by family, those that the table holds or rests on.
    """
    floors = {family_name(f): floor_of(found) for f, found in differences.items()}
    parts = [f"{name} {_size(value)}" for name, value in floors.items() if value is not None]
    return f"Noise floor, the smallest {what} that could have been shown (median): {', '.join(parts)}." if parts else ""


def _size(value: float) -> str:
    return share(value) if value >= 0.01 else share(value, 3)
