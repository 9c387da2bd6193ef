"""From composed cells to a report: plan, run, mirror, report, and say what failed. Shared by ``run`` and ``sweep``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from configs.build import build
from configs.errors import ConfigError, MoatBenchError
from experiments.cell import cell_from
from experiments.cli.consoles import count, remarks, results
from experiments.cli.plan import plan_table, summary
from experiments.compose import Composed
from experiments.engine.base import Engine, Failure, Outcome
from experiments.engine.display import display_of
from experiments.engine.graph import Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.report import CellResult, write_report
from experiments.sharing import Sharing
from experiments.stages.row import result_of
from experiments.store import Store
from experiments.tracking import Tracking


def wanted_rows(cells: Sequence[Composed]) -> list[Wanted]:
    """The row of every cell; raises `ConfigError`, with the cell it is about, before anything runs."""
    rows, sharing = [], Sharing()
    for cell in cells:
        try:
            rows.append(Wanted(cell_from(cell.plain, sharing).row_stage(), cell.label))
        except ConfigError as error:
            if len(cells) == 1:
                raise
            raise MoatBenchError(f"{error}\n  in the cell {cell.label}") from error
    return rows


def store_of(cells: Sequence[Composed]) -> Store:
    """The store that all cells name."""
    return Store(str(cells[0].config.store))


def engine_of(cell: Composed, workers: int | None) -> Engine:
    """The engine that a cell's ``launcher`` describes, with another number of workers where one is given."""
    engine: Engine = build(cell.config.launcher, Engine, "launcher")  # type: ignore[type-abstract]
    if workers is None:
        return engine
    if not isinstance(engine, LocalEngine):
        raise ConfigError("--workers", workers, "is for launcher=local only")
    return replace(engine, workers=workers)


def carry_out(cells: Sequence[Composed], name: str, workers: int | None = None, dry_run: bool = False) -> int:
    """Run all cells and report them.

    Args:
        cells: composed and frozen.
        name: stem of the report's files.
        workers: overrides the launcher's.
        dry_run: only show the plan.

    Returns:
        exit code: 0, or 1 where stages failed, or 2 where all that failed is the user's to mend.
    """
    out, told = results(), remarks()
    store, engine = store_of(cells), engine_of(cells[0], workers)
    tracking: Tracking = build(cells[0].config.tracking, Tracking, "tracking")  # type: ignore[type-abstract]
    rows = wanted_rows(cells)
    graph = plan(rows, store)
    told.print(summary(len(cells), graph, engine.width()), highlight=False)
    if dry_run:
        out.print(plan_table(graph))
        return 0
    by_key = {row.stage.key: cell for row, cell in zip(rows, cells, strict=True)}

    def ready(row: Wanted) -> None:
        entry = store.get(row.stage)
        if entry is not None:
            config = by_key[row.stage.key].content()
            tracking.row(row.stage.key, name, config, entry.table("row").row(0, named=True))

    with display_of(graph, engine.width(), told) as display:
        outcome = engine.run(graph, store, display, ready)
    found = stored_results(rows, store)
    if found:
        report = write_report(found, Path(str(cells[0].config.out)), name)
        report.terminal(out)
        told.print(
            f"written: {', '.join(str(path) for path in report.files.values())}", highlight=False, soft_wrap=True
        )
    return conclude(outcome, len(graph.wanted) - len(found), told)


def stored_results(rows: Sequence[Wanted], store: Store) -> list[CellResult]:
    """What is stored of these rows, in their order, each once."""
    entries = {row.stage.key: store.get(row.stage) for row in rows}
    return [result_of(entry) for entry in entries.values() if entry is not None]


def conclude(outcome: Outcome, missing: int, console: Console) -> int:
    """Say what failed; the exit code."""
    if not outcome.failures:
        return 0
    console.print("\nfailures", style="bold")
    for failure in outcome.failures:
        console.print(f"  {failure.stage} for {failure.label}\n    {failure.error}", markup=False, highlight=False)
        console.print(f"    traceback: {_where(failure)}", markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"{count(missing, 'cell')} could not be finished; all others are stored. The same command tries them again.",
        highlight=False,
    )
    return 2 if all(failure.user for failure in outcome.failures) else 1


def _where(failure: Failure) -> str:
    try:
        return str(failure.traceback.relative_to(Path.cwd()))
    except ValueError:
        return str(failure.traceback)
