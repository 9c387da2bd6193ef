"""From composed cells to a report: plan, run, mirror, report, and say what failed. Shared by ``run`` and ``sweep``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console

from configs.build import build
from configs.errors import ConfigError, require
from experiments.claims.reporting import NOTHING_ASKED, Reporting
from experiments.cli.consoles import count, not_written, remarks, results
from experiments.cli.failures import conclude
from experiments.cli.foresight import foresee
from experiments.cli.plan import plan_table, summary
from experiments.cli.profile_table import show_profile
from experiments.cli.stored_rows import out_of, results_of, store_of, stored, wanted_rows
from experiments.compose.compose import Composed
from experiments.engine.at_hand import require_at_hand
from experiments.engine.base import Engine
from experiments.engine.changed_code import changed
from experiments.engine.display import display_of
from experiments.engine.graph import StageGraph, Wanted, plan
from experiments.engine.local import LocalEngine
from experiments.engine.log import Logged, log_path
from experiments.engine.memory import require_memory
from experiments.report import write_report
from experiments.report.tracking import Tracking
from experiments.stages.row import RowStage
from experiments.store.disk import FULL, READ_ONLY
from experiments.store.entry import Entry
from experiments.store.maintenance.kept import Kept, keep, one_by_one
from experiments.store.places import somewhere, writable
from experiments.store.store import Store
from lm.timing import collecting, timed

if TYPE_CHECKING:
    pass


def engine_of(cell: Composed, workers: int | None) -> Engine:
    """The engine that a cell's ``launcher`` describes, with another number of workers where one is given."""
    engine: Engine = build(cell.config.launcher, Engine, "launcher")  # type: ignore[type-abstract]
    if workers is None:
        return engine
    if not isinstance(engine, LocalEngine):
        raise ConfigError("--workers", workers, "is for launcher=local only")
    return replace(engine, workers=workers)


class Kind(Protocol):
    """What is run: cells, or campaigns."""

    def wanted(self, cells: Sequence[Composed]) -> list[Wanted]:
        """The last stage of each; raises `ConfigError`, with the one it is about, before anything runs."""

    def facts(self, entry: Entry) -> Mapping[str, Any]:
        """What a tracker shows of a finished one."""

    def foresee(self, rows: Sequence[Wanted], cells: Sequence[Composed], store: Store) -> list[str]:
        """What it will be able to show, for a dry run."""

    def report(self, entries: Sequence[Entry], cells: Sequence[Composed], folder: Path, name: str) -> Shown:
        """Write the report of those that are stored."""


class Shown(Protocol):
    """A report that has been written."""

    @property
    def files(self) -> Mapping[str, Path]:
        """What was written, by kind."""

    def terminal(self, console: Console) -> None:
        """Print it."""


class Cells:
    """Cells, and their rows.

    Args:
        difference: for whose number of seeds a dry run is asked.
        reporting: what their report compares and judges.
    """

    def __init__(self, difference: float | None = None, reporting: Reporting = NOTHING_ASKED) -> None:
        if difference is not None:
            require(0 < difference <= 1, "--difference", difference, "must be more than 0 and at most 1")
        self.difference, self.reporting = difference, reporting

    def wanted(self, cells: Sequence[Composed]) -> list[Wanted]:
        """See `Kind.wanted`; also refuses a reference that none of the cells can be."""
        rows = wanted_rows(cells)
        facts = [row.stage.cell for row in rows if isinstance(row.stage, RowStage)]
        names = {"+".join(cell["defense_name"]) for cell in facts if cell["strength"] is not None}
        reference = self.reporting.reference
        if facts and not any(reference.name.startswith(name) for name in names):  # settings may follow the name
            reference.require(names, {"+".join(cell["defense_name"]) for cell in facts} - names)
        return rows

    def facts(self, entry: Entry) -> Mapping[str, Any]:
        """See `Kind.facts`."""
        return entry.table("row").row(0, named=True)

    def foresee(self, rows: Sequence[Wanted], cells: Sequence[Composed], store: Store) -> list[str]:
        """See `Kind.foresee`."""
        return foresee(rows, store, int(cells[0].plain["measure"]["heldout"]), self.difference)

    def report(self, entries: Sequence[Entry], cells: Sequence[Composed], folder: Path, name: str) -> Shown:
        """See `Kind.report`."""
        return write_report(results_of(entries, cells), folder, name, *self.reporting)


def fitted(engine: Engine, graph: StageGraph, told: Console) -> Engine:
    """The engine with as many workers as memory is free for (`Engine.fitted`); says so where those are fewer."""
    found = engine.fitted(graph)
    if found.width() < engine.width():
        told.print(f"moatbench: {found.width()} at a time, not {engine.width()}: memory is free for no more")
    return found


def carry_out(
    cells: Sequence[Composed],
    name: str,
    workers: int | None = None,
    dry_run: bool = False,
    profile: bool = False,
    command: Sequence[str] = (),
    kind: Kind | None = None,
    run: str = "",
) -> int:
    """Run all cells and report them.

    Args:
        cells: composed and frozen.
        name: stem of the report's files.
        workers: overrides the launcher's.
        dry_run: only show the plan.
        profile: also show where the time went.
        command: words after ``moatbench``, kept with the table.
        kind: what they are; rows of the lab if not given.
        run: several commands of one run, as the jobs of Hydra are, make one table and one report together.

    Returns:
        exit code, see `experiments.cli.failures.conclude`.
    """
    out, told, kind = results(), remarks(), kind or Cells()
    place = out_of(cells)
    with timed("planning"), collecting():  # what the store takes meanwhile is part of it
        store, engine = store_of(cells), engine_of(cells[0], workers)
        tracking: Tracking = build(cells[0].config.tracking, Tracking, "tracking")  # type: ignore[type-abstract]
        rows = kind.wanted(cells)
        graph = plan(rows, store)
        if graph.nodes and not dry_run:
            engine.warm()
        remarks_on_code = changed(graph, store)
        engine = fitted(engine, graph, told)
    told.print(summary(len(cells), graph, engine.width()), highlight=False)
    for remark in remarks_on_code:
        told.print(f"moatbench: {remark}", highlight=False, soft_wrap=True)
    if dry_run:
        out.print(plan_table(graph))
        for sentence in kind.foresee(rows, cells, store):
            out.print(sentence, highlight=False)
    if isinstance(engine, LocalEngine):
        require_memory(graph, engine.width())
    if dry_run:
        return 0
    if isinstance(engine, LocalEngine):
        require_at_hand(graph)
    if graph.nodes:
        writable("out", place)
    by_key = {row.stage.key: cell for row, cell in zip(rows, cells, strict=True)}

    def ready(row: Wanted) -> None:
        entry = store.get(row.stage)
        if entry is not None:
            config = by_key[row.stage.key].content()
            tracking.row(row.stage.key, name, config, kind.facts(entry))

    stages = [row.stage for row in rows]
    keeps = _keep_if_possible(lambda: keep(store, name, stages, command, finished=False, run=run), graph, store, told)
    with display_of(graph, engine.width(), told) as shown, closing(Logged(shown, log_path(place, name))) as display:
        outcome = engine.run(graph, store, display, ready)
    with timed("report"), collecting(), one_by_one(store, name, run):
        found = own = stored(rows, store)
        if keeps:
            table = keep(store, name, stages, command, run=run)
            found = [entry for ref in table.rows if (entry := store.entry(ref)) is not None] if run else own
        files = _report(lambda at: kind.report(found, cells, at, name), place, out, told) if own else {}
    if files:
        tracking.report(name, files)
    written = list((files or {}).values())
    if profile:
        written += show_profile(outcome, engine.width(), place / f"{name}_profile.json", told)
    if display.written:
        written.append(display.path)
    if written:
        told.print(f"written: {', '.join(str(path) for path in written)}", highlight=False, soft_wrap=True)
    if where := tracking.remark():
        told.print(f"moatbench: {where}", highlight=False, soft_wrap=True, markup=False)
    code = conclude(outcome, len(graph.wanted), len(graph.wanted) - len(own), store.root, told)
    return code or int(files is None)


def _keep_if_possible(keep: Callable[[], Kept], graph: StageGraph, store: Store, told: Console) -> bool:
    """Keep a table; whether that was possible. Where nothing is to be done, a store that cannot be written to is enough.

    Raises:
        ConfigError: there is something to do, and the store cannot take it.
    """
    try:
        keep()
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        if graph.nodes:
            reason = f"cannot be written to ({error.strerror}), and {count(len(graph.nodes), 'stage')} are to be done"
            raise ConfigError("store", str(store.root), f"{reason}: name another with store=PATH") from error
        told.print("the store cannot be written to, so the table is not kept by name", highlight=False)
        return False
    return True


def _report(write: Callable[[Path], Shown], place: Path, out: Console, told: Console) -> dict[str, Path] | None:
    """Write and show the report; the files by kind, or None where there is no room. The rows are stored all the same."""
    try:
        with somewhere(place) as at:
            written = write(at)
            written.terminal(out)
    except OSError as error:
        if error.errno not in FULL:
            raise
        told.print(f"no room for the report in {place}: `moatbench table` makes it again", highlight=False)
        return None
    if at != place:
        told.print(not_written(place), highlight=False)
        return None
    return dict(written.files)
