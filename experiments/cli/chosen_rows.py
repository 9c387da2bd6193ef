"""Which stored rows a command that only reads is about: those of overrides, of a kept table, or all there are."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from configs.errors import ConfigError, MoatBenchError
from experiments.calibration.settle import settle
from experiments.cli import consoles
from experiments.cli.stored_rows import out_of, store_of, stored_results, wanted_rows
from experiments.compose.compose import Composed, compose_cells, compose_one
from experiments.measure.cell_result import CellResult
from experiments.stages.row import RowStage, newest, result_of
from experiments.store.maintenance.kept import kept_named
from experiments.store.maintenance.lineage import Lineages


class ChosenRows(NamedTuple):
    """What was found.

    Args:
        results: of the rows that are stored.
        first: a cell of the command line.
        out: folder for reports.
        root: of the store.
    """

    results: list[CellResult]
    first: Composed
    out: Path
    root: Path


def chosen_rows(words: Sequence[str], options: Namespace) -> ChosenRows:
    """The stored rows that overrides, ``--kept`` or ``--all`` name; says on standard error how many are not stored yet.

    Raises:
        ConfigError: both options, or no such table.
        MoatBenchError: none is stored.
    """
    if options.all and options.kept:
        raise ConfigError("--kept", options.kept, "is of one table, and --all of every row: give one of them")
    cells = [compose_one(words)] if options.all or options.kept else compose_cells(words)
    store, missing = store_of(cells), 0
    if options.all:
        results = list(newest(store))
    elif options.kept:
        table = kept_named(store.root, options.kept, "--kept")
        rows = [store.entry(ref) for ref in table.rows if ref.stage == RowStage.name]
        lineages = Lineages(store.root)
        results = [result_of(entry, lineages) for entry in rows if entry is not None]
        missing = len(rows) - len(results)
    else:
        settled = settle(cells)
        wanted = wanted_rows(settled.cells)
        results = stored_results(wanted, store, settled.cells)
        missing = len({row.stage.key for row in wanted}) - len(results) + sum(waiting for _, waiting in settled.open)
    if missing:
        print(f"moatbench: {consoles.count(missing, 'cell')} not stored yet: run them with sweep", file=sys.stderr)
    if not results:
        raise MoatBenchError(
            f"no such rows in the store {store.root}: run the cells first, or name another with store="
        )
    return ChosenRows(results, cells[0], out_of(cells), store.root)
