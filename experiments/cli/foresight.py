"""What a sweep will be able to show, said by ``--dry-run``: its noise floor, and the seeds that a wished difference
takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from experiments.engine.graph import Wanted
from experiments.measure.cell_result import by_configuration
from experiments.measure.power import POWER, measured, seeds_for, smallest, stated
from experiments.measure.summary import estimated, summarise
from experiments.report.names import family_name, family_order
from experiments.report.spelling import share
from experiments.stages.row import RowStage, newest
from experiments.store.store import Store

LIKE = ("task", "teacher", "student")
"""Facts in which stored rows must agree with the sweep for their variances to count."""
UNKNOWN = "how far seeds differ in this task is not known: it will be once its first cells are stored with two seeds"
ENOUGH = 200
"""Stored rows that are read at most."""


def foresee(rows: Sequence[Wanted], store: Store, items: int, difference: float | None) -> list[str]:
    """Sentences on a sweep's noise floor.

    Args:
        rows: of the sweep.
        store: where rows like them may be.
        items: held-out items per family.
        difference: that is wished to be shown, if any.
    """
    cells = [row.stage.cell for row in rows if isinstance(row.stage, RowStage)]
    grouped: dict[str, set[int]] = {}
    for cell in cells:
        grouped.setdefault(str({k: v for k, v in cell.items() if k != "seed"}), set()).add(int(cell["seed"]))
    if not grouped:
        return []
    seeds, count = min(map(len, grouped.values())), len(grouped)
    like = [r for r in islice(newest(store), ENOUGH) if _alike(r.cell, cells[0])]
    known = measured(estimated([summarise(group) for group in by_configuration(like)])) if like else {}
    source = f"from the variance of {len(like)} stored rows" if known else "from stated variances of the mini world"
    of_task = {f for row in rows if isinstance(row.stage, RowStage) for f in row.stage.student.task.families}
    sds = known or {family: sd for family, sd in stated(items).items() if family in of_task}
    families = family_order(list(sds))
    said = []
    if seeds < 2:
        said.append("with 1 seed nothing can be told from the luck of a seed: give at least seed=0,1")
    if not sds:
        return [*said, UNKNOWN]
    if seeds > 1:
        floors = ", ".join(f"{family_name(f)} {share(smallest(sds[f], seeds, count), 3)}" for f in families)
        said.append(f"noise floor with {seeds} seeds, {source}: {floors}; smaller losses to a defense will not show")
    if difference is not None:
        takes = ", ".join(f"{family_name(f)} {_words(seeds_for(difference, sds[f], count))}" for f in families)
        said.append(f"seeds to show a difference of {share(difference, 3)} in {POWER:.0%} of sweeps, {source}: {takes}")
    return said


def _alike(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return all(a[key] == b[key] for key in LIKE)


def _words(seeds: int | None) -> str:
    return "over 1,000" if seeds is None else str(seeds)
