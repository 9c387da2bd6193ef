"""``moatbench table``: reports, and tables and figures of papers, from stored rows only."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.cli import consoles
from experiments.cli.arguments import CommandLine
from experiments.compose.grids import experiment_names
from experiments.compose.table_files import table_specs, table_words
from experiments.report.file_names import stem
from experiments.report.reference import EVERY_PAIR
from experiments.store.places import somewhere

if TYPE_CHECKING:
    from experiments.compose.compose import Composed
    from experiments.measure.cell_result import CellResult
    from experiments.report.paper.table_spec import TableSpec

FILES = {"markdown": "md", "csv": "csv", "latex": "tex"}


def main(asked: CommandLine) -> int:
    """Print the table, and write it with all other formats and the plot."""
    options, words = asked.options, table_words(asked.words)
    specs = {name: _about(spec, options.reference) for name, spec in table_specs(asked.words).items()}
    otherwise = "all" if options.all else options.kept or "table"
    name = stem(options.name, experiment_names(words.others), otherwise)
    from experiments.cli.chosen_rows import chosen_rows

    results, first, out, _ = chosen_rows(words.others, options)
    with somewhere(out) as place:
        if specs:
            _papers(specs, results, place, name, options.format)
        else:
            _report(first, words.others, results, place, name, options.reference, options.format)
    if place != out:
        print(f"moatbench: {consoles.not_written(out)}", file=sys.stderr)
    return int(place != out)


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
    first: Composed,
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

    report = write_report(results, place, name, *reporting_of(first.plain, words, reference))
    if wanted == "terminal":
        report.terminal(consoles.results())
    else:
        print(report.files[FILES[wanted]].read_text(encoding="utf-8"), end="")
