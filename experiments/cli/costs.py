"""``moatbench costs``: what defenses cost their provider, from stored results only."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from configs.errors import MoatBenchError
from experiments.calibration.settle import settle
from experiments.cli import consoles
from experiments.cli.arguments import CommandLine
from experiments.compose.compose import compose_cells, compose_one

if TYPE_CHECKING:
    from experiments.cli.stored_costs import DefenseCosts
    from experiments.report.structure import Table
    from experiments.stages.row import RowStage
    from experiments.store.store import Store

NOTES = (
    "Medians over seeds. Extra passes: forward passes of other models than the teacher per token that it generates; extra "
    "compute: positions that these read times their parameters, as a share of the teacher's. Both are counted, on the same "
    "texts in every store; all other figures are times of the machines that the stored results were made on.",
    "Sampling: wall time of the stored raw generations a token; added and ratio: against the undefended API with the same "
    "seeds. 0 and 1.00 are no measurements: such a defense changes nothing while the teacher samples. In hooks: time in the "
    "defense's own code while an answer is sampled (decode) and before it leaves (release).",
    "Preparing: `prepare` of the defenses. Models: training those that the provider has for them alone, not the public base "
    "model. Price: extra compute of a million output tokens at the list price of the teacher's.",
)


def main(asked: CommandLine) -> int:
    """Print the table."""
    from experiments.cli.stored_costs import stored_costs
    from experiments.cli.stored_rows import store_of

    cells = [compose_one(asked.words)] if asked.options.all else compose_cells(asked.words)
    store = store_of(cells)
    if asked.options.all:
        rows = _every_row(store)
    else:
        from experiments.cli.stored_rows import wanted_rows

        settled = settle(cells)
        rows = [row.stage for row in wanted_rows(settled.cells)]  # type: ignore[misc]
        missing = len({row.key for row in rows if not store.has(row)}) + sum(waiting for _, waiting in settled.open)
        if missing:
            print(f"moatbench: {consoles.count(missing, 'cell')} not stored yet: run them with sweep", file=sys.stderr)
        rows = [row for row in rows if store.has(row)]
    if not rows:
        raise MoatBenchError(
            f"no such rows in the store {store.root}: run the cells first, or name another with store="
        )
    _print(costs_table(stored_costs(rows, store)), asked.options.format)
    return 0


def costs_table(found: Sequence[DefenseCosts]) -> Table:
    """A row for each defense and strength."""
    from experiments.cli.stored_costs import SETTING
    from experiments.report.names import AXES
    from experiments.report.structure import Column, Table

    varying = [i for i in range(len(SETTING)) if len({one.setting[i] for one in found}) > 1]
    rows = [
        {
            "defense": one.defense,
            **{SETTING[i]: str(one.setting[i]) for i in varying},
            "seeds": len(one.seeds),
            **{name: one.median(name) for name in FIGURES},
            **one.lineage.told(),
        }
        for one in found
    ]
    columns = (
        Column("defense", "defense", "text", 0),
        *(Column(SETTING[i], AXES[SETTING[i]], "text", 0) for i in varying),
        Column("seeds", "seeds", "count"),
        *(Column(name, title, kind) for name, (title, kind) in FIGURES.items()),  # type: ignore[arg-type]
    )
    users = [one.defense for one in found if one.trained]
    together = {key for one in found for key in one.trained if sum(key in other.trained for other in found) > 1}
    shared = f"Trained once for all of: {', '.join(dict.fromkeys(users))}." if together else ""
    return Table("costs", "What defenses cost their provider", columns, tuple(rows), (*NOTES, *filter(None, (shared,))))


FIGURES = {
    "passes": ("extra passes", "share"),
    "compute": ("extra compute", "share"),
    "own": ("sampling ms/token", "share"),
    "added": ("added ms/token", "share"),
    "ratio": ("ratio", "share"),
    "hooks": ("in hooks ms/token", "share"),
    "prepare": ("preparing", "seconds"),
    "models": ("models", "seconds"),
    "dollars": ("price", "dollars"),
}
"""Figures of `stored_costs.SeedCosts`: title and kind."""


def _every_row(store: Store) -> list[RowStage]:
    """Those of the present version, newest first, whose cells can still be read."""
    from experiments.cell_from import cell_from
    from experiments.compose.interning import Interning
    from experiments.stages.row import RowStage

    interning = Interning()
    entries = (entry for entry in store.entries(RowStage.name) if entry.manifest["version"] == RowStage.version)
    rows: dict[str, RowStage] = {}
    for entry in entries:
        with suppress(MoatBenchError):
            row = cell_from(entry.meta["config"], interning).row_stage()
            rows[row.key] = row
    return list(rows.values())


def _print(table: Table, how: str) -> None:
    from experiments.report import latex, markdown, terminal
    from experiments.report.cells import PlainWriter
    from experiments.store.maintenance.lineage import COLUMNS

    if how == "terminal":
        terminal.render(table, consoles.results())
    elif how == "markdown":
        print(markdown.render([table], (), "MoatBench: costs"), end="")
    elif how == "latex":
        print(latex.fragment([table]), end="")
    else:
        out = io.StringIO()
        columns = [*(column.key for column in table.columns), *COLUMNS]
        writer = PlainWriter(out, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in table.rows)
        print(out.getvalue(), end="")
