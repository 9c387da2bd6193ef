"""``moatbench calibrate``, and the calibrations that ``run`` and ``sweep`` do first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.table import Table

from configs.errors import ConfigError
from experiments.cli.arguments import CommandLine
from experiments.cli.consoles import count, remarks, results
from experiments.compose.asked import UNITS, Unit, asked_of, target
from experiments.compose.compose import Composed, compose_cells

if TYPE_CHECKING:
    from experiments.calibration.calibration import Calibration
    from experiments.calibration.search import Probe
    from experiments.calibration.settle import Settled
    from experiments.engine.graph import StageGraph, Wanted
    from experiments.store.store import Store

KEPT = "calibrations"
"""The kept table that has the evaluations of all calibrations of a store."""


def main(asked: CommandLine) -> int:
    """Find the strengths, print them and the paths to them."""
    own = own_words(asked.words)
    cells = compose_cells(own.overrides)
    from experiments.calibration.calibration import UnreachedError
    from experiments.cli.stored_rows import store_of

    calibrations, store = _calibrations(own, cells), store_of(cells)
    if asked.options.dry_run:
        foretell(calibrations, cells[0], asked.options.workers)
        return 0
    code = find(calibrations, cells[0], asked.options.workers, (asked.command, *asked.words))
    if code:
        return code
    out, found, unreached = results(), list[dict[str, Any]](), list[str]()
    for calibration in calibrations:
        path, _ = calibration.path(store)
        try:
            point = calibration.found(path)
        except UnreachedError as error:
            unreached.append(str(error))
            continue
        found.append(_record(calibration, point, path))
        if not asked.options.json:
            out.print(calibration.said(point), markup=False, highlight=False, soft_wrap=True)
            out.print(_table(calibration, path))
    if asked.options.json:
        print(json.dumps(found, indent=1))
    if unreached:
        raise UnreachedError("\n".join(unreached))
    return 0


class Own(NamedTuple):
    """What the words of ``calibrate`` say.

    Args:
        overrides: of cells.
        targets: what to calibrate to, each with its unit; empty where the overrides hold them.
        family: whose accuracy; None for all users.
        seeds: None for the default.
    """

    overrides: list[str]
    targets: tuple[tuple[Unit, float], ...] = ()
    family: str | None = None
    seeds: tuple[int, ...] | None = None


def own_words(words: Sequence[str]) -> Own:
    """Take ``drop=``, ``l1=``, ``family=`` and ``seed=`` out of the words.

    Raises:
        ConfigError: a target or a seed that is none.
    """
    given = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    rest = [word for word in words if word.partition("=")[0] not in (*UNITS, "family", "seed")]
    targets = [(unit, target(text, unit, unit)) for unit in UNITS if unit in given for text in given[unit].split(",")]
    seeds = None
    if "seed" in given:
        texts = given["seed"].split(",")
        if not all(text.isdecimal() for text in texts):
            raise ConfigError(
                "seed", given["seed"], "must be whole numbers with commas: the drop is the mean over them"
            )
        seeds = tuple(dict.fromkeys(map(int, texts)))
    return Own(rest, tuple(dict.fromkeys(targets)), given.get("family"), seeds)


def _calibrations(own: Own, cells: Sequence[Composed]) -> list[Calibration]:
    """What is asked for, each once."""
    from experiments.calibration.calibration import SEEDS, calibration_of, the_strength
    from experiments.compose.interning import Interning
    from experiments.measure.panel import ALL

    interning = Interning()
    found: dict[tuple[str, float, str], Calibration] = {}
    for cell in cells:
        written = asked_of(cell.plain)
        if written is not None and own.targets:
            raise ConfigError(*own.targets[0], f"is given twice: {written.place} has one too")
        wanted = [written] if written is not None else [the_strength(cell.plain, t, unit) for unit, t in own.targets]
        for asked in wanted:
            one = calibration_of(cell.plain, asked, own.family or ALL, own.seeds or SEEDS, interning)
            found.setdefault(one.key, one)
    if not found:
        raise ConfigError("drop", "", "must be given: drop=0.05 is a drop of honest accuracy by five points")
    return list(found.values())


def find(calibrations: Sequence[Calibration], cell: Composed, workers: int | None, command: Sequence[str]) -> int:
    """Run evaluations until every search is over; those of several searches run side by side.

    Args:
        calibrations: some may be finished already, or begun.
        cell: says where and how to run.
        workers: overrides the launcher's.
        command: words after ``moatbench``.

    Returns:
        exit code, see `experiments.cli.failures.conclude`.
    """
    from experiments.cli.failures import conclude
    from experiments.cli.one_round import run_round
    from experiments.cli.stored_rows import store_of

    store = store_of([cell])
    while wanted := _next(calibrations, store):
        outcome = run_round(wanted, cell, workers, command, KEPT, partial(_trying, wanted))
        if outcome.failures or outcome.full:
            missing = sum(not store.has(one.stage) for one in wanted)
            return conclude(outcome, len(wanted), missing, store.root, remarks())
    return 0


def foretell(calibrations: Sequence[Calibration], cell: Composed, workers: int | None) -> None:
    """Say what the next evaluation of each would take; runs nothing."""
    from experiments.cli.execute import engine_of
    from experiments.cli.plan import plan_table
    from experiments.cli.stored_rows import store_of
    from experiments.engine.graph import plan

    store = store_of([cell])
    wanted = _next(calibrations, store)
    graph = plan(wanted, store)
    width = engine_of(cell, workers).width()
    said = _trying(wanted, graph, width) if wanted else "nothing to do: all evaluations are stored"
    remarks().print(said, markup=False, highlight=False, soft_wrap=True)
    results().print(plan_table(graph))


def waiting(settled: Settled) -> list[str]:
    """What the cells of a sweep still wait for, a line each."""
    return [
        f"to be calibrated first: {one.asked.place}={one.asked.written}, for {count(cells, 'cell')}"
        for one, cells in settled.open
    ]


def _next(calibrations: Sequence[Calibration], store: Store) -> list[Wanted]:
    """The next evaluation of every search that is not over."""
    from experiments.engine.graph import Wanted

    values = [(one, one.path(store)[1]) for one in calibrations]
    return [Wanted(one.stage(value), f"{one.asked.place}={value:g}") for one, value in values if value is not None]


def _trying(wanted: Sequence[Wanted], graph: StageGraph, width: int) -> str:
    from experiments.cli.one_round import to_do

    labels = ", ".join(dict.fromkeys(one.label for one in wanted))
    return f"calibration tries {labels}: {to_do(graph, width)}"


def _table(calibration: Calibration, path: Sequence[Probe]) -> Table:
    head, scale, digits = {"drop": ("drop (points)", 100, 1), "l1": ("L1 distance", 1, 3)}[calibration.asked.unit]
    table = Table(calibration.asked.place, head, "±", title=count(len(path), "evaluation"), title_justify="left")
    for point in path:
        table.add_row(f"{point.strength:g}", *(f"{scale * value:.{digits}f}" for value in (point.cost, point.error)))
    return table


def _record(calibration: Calibration, point: Probe, path: Sequence[Probe]) -> dict[str, Any]:
    return {
        "field": calibration.asked.place,
        **_plain(point, calibration.asked.unit),
        "target": calibration.asked.target,
        "family": calibration.family,
        "seeds": list(calibration.seeds),
        "items_per_family": calibration.cell.measure.heldout,
        "path": [_plain(one, calibration.asked.unit) for one in path],
    }


def _plain(point: Probe, unit: Unit) -> dict[str, float]:
    return {"strength": point.strength, unit: point.cost, "error": point.error}
