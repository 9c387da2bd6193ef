"""``python -m experiments.cli.curves``: the page of the curves, from the shipped table or a store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from configs.errors import MoatBenchError
from experiments.campaign.curves.fitted import REPLICATES, fit_curves
from experiments.campaign.curves.measured import from_results, shipped
from experiments.campaign.curves.page import write
from experiments.measure.cell_result import CellResult


def cells(words: Sequence[str]) -> list[CellResult]:
    """The stored cells that the words ask for, as `moatbench table` finds them."""
    from experiments.calibration.settle import settle
    from experiments.cli.stored_rows import store_of, stored_results, wanted_rows
    from experiments.compose.compose import compose_cells

    composed = settle(compose_cells(list(words))).cells
    rows, store = wanted_rows(composed), store_of(composed)
    found = stored_results(rows, store, composed)
    missing = len({row.stage.key for row in rows}) - len(found)
    if missing:
        print(f"{missing} cells are not stored yet: run them with `moatbench sweep`", file=sys.stderr)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and its plot; with --table, the table too."""
    parser = argparse.ArgumentParser("python -m experiments.cli.curves", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="cells of a store, e.g. +experiment=curves store=PATH")
    parser.add_argument("--out", type=Path, default=Path("docs/results"), help="folder of curves.md and curves.png")
    parser.add_argument("--table", type=Path, help="also write the measured table, as CSV, to this file")
    parser.add_argument("--replicates", type=int, default=REPLICATES, help="draws of a band")
    asked = parser.parse_args(arguments)
    try:
        table = from_results(cells(asked.words)) if asked.words else shipped()
        curves = fit_curves(table, asked.replicates)
        if asked.table is not None:
            asked.table.parent.mkdir(parents=True, exist_ok=True)
            table.write_csv(asked.table)
        for path in write(curves, asked.out):
            print(path)
    except MoatBenchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
