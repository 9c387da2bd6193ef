"""``moatbench run`` and ``moatbench sweep``."""

from __future__ import annotations

import sys

from experiments.cli.arguments import CommandLine
from experiments.cli.consoles import results
from experiments.cli.settling import calibrated
from experiments.compose.compose import Sweep, compose_one, compose_sweep
from experiments.compose.grids import experiment_names, notes_of
from experiments.report.file_names import stem
from lm.timing import collecting, timed


def main(asked: CommandLine) -> int:
    """Compose everything, then run it."""
    with collecting():
        with timed("planning"):
            one = asked.command == "run"
            sweep = Sweep([compose_one(asked.words)]) if one else compose_sweep(asked.words)
            name = stem(asked.options.name, experiment_names(asked.words), asked.command)
            from experiments.claims.reporting import reporting_of
            from experiments.cli.execute import Cells, carry_out
            from experiments.cli.plan import repetitions
        for remark in repetitions(sweep):
            print(f"moatbench: {remark}", file=sys.stderr)
        options = asked.options
        dry, words = getattr(options, "dry_run", False), (asked.command, *asked.words)
        for notes in notes_of(asked.words).values() if dry else ():
            for line in notes.lines():
                results().print(line, highlight=False, markup=False)
        cells, code = calibrated(sweep.cells, options.workers, dry, words)
        if not cells:  # a calibration failed; or of a plan, all of whose cells wait
            return code
        kind = Cells(getattr(options, "difference", None), reporting_of(cells[0].plain, asked.words))
        return carry_out(cells, name, options.workers, dry, options.profile, words, kind)
