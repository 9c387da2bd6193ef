"""The rows that the cells of a command line stand for: in which store, which stages, and what of them is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.build import by_class
from configs.errors import ConfigError, MoatBenchError
from experiments.cell_from import cell_from
from experiments.cli.ratings import require_known_ratings
from experiments.compose.compose import Composed
from experiments.compose.interning import Interning
from experiments.engine.graph import Wanted
from experiments.measure.cell_result import CellResult
from experiments.stages.row import RowStage, resolved_of, result_of
from experiments.store.entry import Entry
from experiments.store.maintenance.kept import kept_named
from experiments.store.places import folder
from experiments.store.stage import Stage
from experiments.store.store import Store


def wanted_rows(cells: Sequence[Composed]) -> list[Wanted]:
    """The row of every cell; raises `ConfigError`, with the cell it is about, before anything runs."""
    rows, interning = [], Interning()
    for cell in cells:
        try:
            rows.append(Wanted(cell_from(cell.plain, interning).row_stage(), cell.label))
        except ConfigError as error:
            if len(cells) == 1:
                raise
            raise MoatBenchError(f"{error}\n  in the cell {cell.label}") from error
    if cells:
        require_known_ratings([row.stage for row in rows], str(cells[0].plain.get("store")))
    return rows


def store_of(cells: Sequence[Composed]) -> Store:
    """The store that all cells name."""
    return Store(str(cells[0].config.store))


def out_of(cells: Sequence[Composed]) -> Path:
    """The folder for reports that all cells name; raises `ConfigError` where there can be none."""
    name = str(cells[0].config.out)
    folder("out", name)
    return Path(name).expanduser()


def stored(rows: Sequence[Wanted], store: Store) -> list[Entry]:
    """What is stored of these rows, in their order, each once."""
    entries = {row.stage.key: store.get(row.stage) for row in rows}
    return [entry for entry in entries.values() if entry is not None]


def stored_results(rows: Sequence[Wanted], store: Store, cells: Sequence[Composed]) -> list[CellResult]:
    """The results of `stored`, for the cells that gave the rows."""
    return results_of(stored(rows, store), cells, rows)


def results_of(
    entries: Sequence[Entry], cells: Sequence[Composed], rows: Sequence[Wanted] | None = None
) -> list[CellResult]:
    """What a report needs of stored rows, with what their cells say of themselves today.

    A row is the same whether its strength was typed or calibrated, so it is the cell that says so: as ``calibrated_drop`` or
    ``calibrated_l1``. And a row may be older than a field which changes nothing at its default (`configs.identity.added`):
    its settings are those of the cell that asks for it, or seeds of one configuration would be told apart.

    Args:
        entries: rows that are stored.
        cells: that ask for them.
        rows: of these cells, in their order; None to compose them.
    """
    wanted = wanted_rows(cells) if rows is None else rows
    asked = {row.stage.key: _said(row.stage, cell) for row, cell in zip(wanted, cells, strict=True)}
    found = [(result_of(entry), asked.get(str(entry.manifest["key"]), {})) for entry in entries]
    return [replace(result, cell={**result.cell, **said}) if said else result for result, said in found]


def _said(row: Stage, cell: Composed) -> dict[str, Any]:
    """What a cell says of its row that the row's own numbers do not depend on."""
    settings = {"settings": by_class(row.resolved)} if isinstance(row, RowStage) else {}
    return settings if cell.calibrated is None else {**settings, f"calibrated_{cell.calibrated[0]}": cell.calibrated[1]}


def kept_results(store: Store, name: str) -> tuple[list[CellResult], int]:
    """The rows of a table that was kept by name, and how many of them are not stored.

    Raises:
        ConfigError: there is no such table.
    """
    rows = [store.entry(ref) for ref in kept_named(store.root, name, "--kept").rows if ref.stage == RowStage.name]
    found = [result_of(entry) for entry in rows if entry is not None]
    return found, len(rows) - len(found)


def newest(store: Store) -> Iterator[CellResult]:
    """The newest row of every cell there is, of the present version."""
    seen = set()
    for entry in store.entries(RowStage.name):
        cell = json.dumps(by_class(resolved_of(entry)), sort_keys=True)
        if entry.manifest["version"] == RowStage.version and cell not in seen:
            seen.add(cell)
            yield result_of(entry)
