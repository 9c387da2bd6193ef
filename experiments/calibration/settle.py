"""Puts calibrated numbers in the place of ``drop:0.05`` or ``l1:0.5`` in cells of a sweep, as far as the store has them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from experiments.compose.asked import Unit, asked_of, with_value

if TYPE_CHECKING:
    from experiments.calibration.calibration import Calibration
    from experiments.compose.compose import Composed


class Settled(NamedTuple):
    """The cells of a sweep, some of which may have to wait.

    Args:
        cells: whose strengths are all numbers, each once, in the order of the grid.
        open: calibrations that are not finished, each once, with how many cells wait for it.
        said: of each strength that was put in, in a line, what it is and what it costs.
    """

    cells: list[Composed]
    open: list[tuple[Calibration, int]]
    said: list[str]


def settle(cells: Sequence[Composed], at_most: bool = False) -> Settled:
    """Look up what calibrations found in the store that the cells name.

    A cell then holds the plain number and is the same cell as one in which it was typed; that it was calibrated is kept
    beside it (`experiments.compose.compose.Composed.calibrated`), for all seeds of the configuration.

    Args:
        cells: composed.
        at_most: whether the strongest of a defense, stated and not calibrated, stands in where no strength costs that much.

    Raises:
        ConfigError: what is asked for cannot be calibrated.
        UnreachedError: no strength costs that much, and ``at_most`` is not set.
    """
    if not any(asked_of(cell.plain) for cell in cells):
        return Settled(list(cells), [], [])
    from experiments.calibration.calibration import UnreachedError, calibration_of
    from experiments.compose.interning import Interning
    from experiments.store.store import Store

    interning, store = Interning(), Store(str(cells[0].config.store))
    waiting: dict[tuple[str, float, str], tuple[Calibration, int]] = {}
    numbers: dict[tuple[str, float, str], tuple[float, bool]] = {}
    settled: dict[str, Composed] = {}
    said: list[str] = []
    for cell in cells:
        asked = asked_of(cell.plain)
        if asked is None:
            settled.setdefault(cell.identity, cell)
            continue
        calibration = calibration_of(cell.plain, asked, interning=interning)
        key = calibration.key
        if key not in numbers and key not in waiting:
            path, missing = calibration.path(store)
            if missing is None:
                try:
                    point, reached = calibration.found(path), True
                    said.append(calibration.said(point))
                except UnreachedError as error:
                    if not at_most:
                        raise
                    point, reached = path[0], False
                    said.append(f"{error}: {calibration.asked.place}={point.strength:g} stands in")
                numbers[key] = point.strength, reached
            else:
                waiting[key] = calibration, 0
        if key in waiting:
            waiting[key] = waiting[key][0], waiting[key][1] + 1
        else:
            value, reached = numbers[key]
            plain = with_value(cell.plain, asked.defense, asked.field, value)
            known = replace(cell, plain=plain, calibrated=(asked.unit, asked.target) if reached else None)
            settled.setdefault(known.identity, known)
    return Settled(_for_all_seeds(list(settled.values())), list(waiting.values()), said)


def _for_all_seeds(cells: Sequence[Composed]) -> list[Composed]:
    """Where a number was typed for some seeds and calibrated for others, it is the same configuration."""
    found: dict[str, tuple[Unit, float]] = {}
    for cell in cells:
        if cell.calibrated is not None:
            found.setdefault(_without_seed(cell), cell.calibrated)
    return [replace(cell, calibrated=found.get(_without_seed(cell))) for cell in cells]


def _without_seed(cell: Composed) -> str:
    return json.dumps({name: part for name, part in cell.content().items() if name != "seed"})
