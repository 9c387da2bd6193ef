"""Strengths that cells leave to calibration: found first, then put in. Shared by the commands that run cells."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from experiments.calibration.settle import settle
from experiments.cli.calibrate import find, waiting
from experiments.compose.compose import Composed


class Ready(NamedTuple):
    """What can run now.

    Args:
        cells: whose strengths are all numbers; of a plan, without those that would have to wait.
        code: exit code of a calibration that failed, else 0; there are no cells then.
    """

    cells: list[Composed]
    code: int = 0


def calibrated(
    cells: Sequence[Composed], workers: int | None, dry_run: bool, command: Sequence[str], at_most: bool = False
) -> Ready:
    """Run the calibrations that the cells wait for, unless it is a plan, and say what was found.

    Args:
        cells: of one command.
        workers: overrides the launcher's.
        dry_run: run nothing.
        command: words after ``moatbench``.
        at_most: see `settle`.

    Raises:
        ConfigError: what is asked for cannot be calibrated.
        UnreachedError: see `settle`.
    """
    settled = settle(cells, at_most)
    if settled.open and not dry_run:
        code = find([one for one, _ in settled.open], cells[0], workers, command)
        if code:
            return Ready([], code)
        settled = settle(cells, at_most)
    for remark in [*settled.said, *waiting(settled)]:
        print(f"moatbench: {remark}", file=sys.stderr)
    return Ready(settled.cells)
