"""``moatbench table``: reports from stored rows only."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from configs.errors import MoatBenchError
from experiments.calibration.settle import settle
from experiments.cli import consoles
from experiments.cli.arguments import CommandLine
from experiments.compose.compose import compose_cells, compose_one
from experiments.compose.grids import experiment_names
from experiments.report.file_names import stem
from experiments.store.places import somewhere

if TYPE_CHECKING:
    pass

FILES = {"markdown": "md", "csv": "csv", "latex": "tex"}


def main(asked: CommandLine) -> int:
    """Print the table, and write it with all other formats and the plot."""
    cells = [compose_one(asked.words)] if asked.options.all else compose_cells(asked.words)
    name = stem(asked.options.name, experiment_names(asked.words), "all" if asked.options.all else "table")
    from experiments.claims.reporting import reporting_of
    from experiments.cli.stored_rows import out_of, store_of, stored_results, wanted_rows
    from experiments.report import write_report
    from experiments.stages.row import newest

    store, out = store_of(cells), out_of(cells)
    if asked.options.all:
        results = list(newest(store))
    else:
        settled = settle(cells)
        rows = wanted_rows(settled.cells)
        results = stored_results(rows, store, settled.cells)
        missing = len({row.stage.key for row in rows}) - len(results) + sum(waiting for _, waiting in settled.open)
        if missing:
            print(f"moatbench: {consoles.count(missing, 'cell')} not stored yet: run them with sweep", file=sys.stderr)
    if not results:
        raise MoatBenchError(
            f"no such rows in the store {store.root}: run the cells first, or name another with store="
        )
    reporting = reporting_of(cells[0].plain, asked.words, asked.options.reference)
    with somewhere(out) as place:
        report = write_report(results, place, name, *reporting)
        if asked.options.format == "terminal":
            report.terminal(consoles.results())
        else:
            print(report.files[FILES[asked.options.format]].read_text(encoding="utf-8"), end="")
    if place != out:
        print(f"moatbench: {consoles.not_written(out)}", file=sys.stderr)
    return int(place != out)
