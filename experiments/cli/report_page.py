"""``moatbench report``: one HTML file of stored rows, that opens from disk."""

from __future__ import annotations

import sys

from experiments.cli import consoles
from experiments.cli.arguments import CommandLine
from experiments.compose.grids import experiment_names
from experiments.report.file_names import stem
from experiments.store.places import somewhere


def main(asked: CommandLine) -> int:
    """Write the page and say where it is."""
    options = asked.options
    otherwise = "all" if options.all else "report"
    name = stem(options.name or options.kept, experiment_names(asked.words), otherwise)
    from experiments.claims.reporting import reporting_of
    from experiments.cli.chosen_rows import chosen_rows
    from experiments.publish.made import made_of
    from experiments.report.page.write_page import write_page
    from experiments.stages.row import RowStage
    from experiments.store.layout import Ref

    results, first, out, root = chosen_rows(asked.words, options)
    reporting = reporting_of(first.plain, asked.words, options.reference)
    rows = [Ref(RowStage.name, key) for result in results for key in result.lineage.rows]
    made = made_of(root, rows, len({result.seed for result in results}))
    with somewhere(out) as place:
        page = write_page(results, place, name, *reporting, made=made)
        size = page.stat().st_size
    if place != out:
        print(f"moatbench: {consoles.not_written(out)}", file=sys.stderr)
        return 1
    print(f"written: {page} ({size / 1e6:.1f} MB; open it in a browser)")
    return 0
