"""``moatbench table``: reports, and tables and figures of papers, from stored rows only."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from configs.errors import ConfigError, MoatBenchError
from experiments.calibration.settle import settle
from experiments.cli import consoles
from experiments.cli.arguments import CommandLine
from experiments.compose.compose import Composed, compose_cells, compose_one
from experiments.compose.grids import experiment_names
from experiments.compose.table_files import table_specs, table_words
from experiments.report.file_names import stem
from experiments.report.reference import EVERY_PAIR
from experiments.store.places import somewhere

if TYPE_CHECKING:
    from experiments.measure.cell_result import CellResult
    from experiments.report.paper.table_spec import TableSpec

FILES = {"markdown": "md", "csv": "csv", "latex": "tex"}


def main(asked: CommandLine) -> int:
    """Print the table, and write it with all other formats and the plot."""
    options, words = asked.options, table_words(asked.words)
    specs = {name: _about(spec, options.reference) for name, spec in table_specs(asked.words).items()}
    if options.all and options.kept:
        raise ConfigError("--kept", options.kept, "is of one table, and --all of every row: give one of them")
    cells = [compose_one(words.others)] if options.all or options.kept else compose_cells(words.others)
    otherwise = "all" if options.all else options.kept or "table"
    name = stem(options.name, experiment_names(words.others), otherwise)
    from experiments.cli.stored_rows import out_of

    results, out = _results(cells, options.all, options.kept), out_of(cells)
    with somewhere(out) as place:
        if specs:
            _papers(specs, results, place, name, options.format)
        else:
            _report(cells, words.others, results, place, name, options.reference, options.format)
    if place != out:
        print(f"moatbench: {consoles.not_written(out)}", file=sys.stderr)
    return int(place != out)


def _results(cells: Sequence[Composed], every: bool, kept: str | None) -> list[CellResult]:
    """The stored rows that are asked for; says how many are missing.

    Raises:
        ConfigError: no such kept table.
        MoatBenchError: none is stored.
    """
    from experiments.cli.stored_rows import kept_results, newest, store_of, stored_results, wanted_rows

    store, missing = store_of(cells), 0
    if every:
        results = list(newest(store))
    elif kept:
        results, missing = kept_results(store, kept)
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
    return results


def _about(spec: TableSpec, reference: str | None) -> TableSpec:
    """A paper's table with the subject that an option names, or with letters for all pairs."""
    if reference is None:
        return spec
    return replace(spec, letters=True) if reference == EVERY_PAIR else replace(spec, subject=reference)


def _papers(specs: Mapping[str, TableSpec], results: Sequence[CellResult], place: Path, name: str, wanted: str) -> None:
    """Write and print tables of a paper, each under the report's name and its own."""
    from experiments.report.paper.write_paper import write_paper
    from experiments.report.write import summaries_of

    summaries = summaries_of(results)
    for table, spec in specs.items():
        written = write_paper(table, spec, summaries, place, f"{name}_{table}")
        if wanted == "terminal":
            written.terminal(consoles.results())
        else:
            print(written.files[FILES[wanted]].read_text(encoding="utf-8"), end="")
        files = ", ".join(str(path) for path in written.files.values())
        consoles.remarks().print(f"written: {files}", highlight=False, soft_wrap=True, markup=False)


def _report(
    cells: Sequence[Composed],
    words: Sequence[str],
    results: Sequence[CellResult],
    place: Path,
    name: str,
    reference: str | None,
    wanted: str,
) -> None:
    """Write and print the whole report."""
    from experiments.claims.reporting import reporting_of
    from experiments.report import write_report

    report = write_report(results, place, name, *reporting_of(cells[0].plain, words, reference))
    if wanted == "terminal":
        report.terminal(consoles.results())
    else:
        print(report.files[FILES[wanted]].read_text(encoding="utf-8"), end="")
