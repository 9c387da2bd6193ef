"""Writes a stored cell as a folder that ``datasets.load_dataset`` loads, whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf

from configs.errors import MoatBenchError, require
from experiments.publish.dataset_card import dataset_card, path_of
from experiments.publish.dataset_tables import dataset_parts
from experiments.publish.origin import without_paths, without_paths_in
from experiments.store.layout import draft
from experiments.store.places import folder

if TYPE_CHECKING:
    from experiments.publish.traced import Trace
    from experiments.study import OpenCell


def new_folder(field: str, name: str) -> Path:
    """A folder that is not there yet, or is empty; raises `ConfigError` otherwise."""
    path = folder(field, name)
    require(not path.exists() or not any(path.iterdir()), field, name, "is there already: name a new folder")
    return path


def write_dataset(
    cell: OpenCell, found: Trace, path: Path, licence: str, commands: Sequence[str], jsonl: bool = False
) -> list[Path]:
    """Write the tables of a cell with a card; the paths of the tables.

    Args:
        cell: whose row was traced.
        found: what is known of it.
        path: folder, new.
        licence: identifier for the card.
        commands: lines of a shell that make the row again.
        jsonl: write each table as JSON lines too.

    Raises:
        ConfigError: the licence is no identifier.
        MoatBenchError: a stage is not stored, or the cell is another one.
    """
    if cell.key != found.key:
        raise MoatBenchError(f"the cell {cell.key[:12]} is not the row {found.key[:12]}")
    parts, remarks = dataset_parts(cell)
    shown = [without_paths(line) for line in commands]
    card = dataset_card(parts, found.cell, found.key, found.lineage, shown, licence, remarks)
    path.parent.mkdir(parents=True, exist_ok=True)
    made, written = draft(path.parent, "dataset"), list[Path]()
    try:
        for part in parts:
            for split, table in part.splits.items():
                places = [Path(path_of(part.name, split))]
                places += [Path("jsonl") / part.name / f"{split}.jsonl"] if jsonl else []
                for place in places:
                    (made / place).parent.mkdir(parents=True, exist_ok=True)
                    write = table.write_parquet if place.suffix == ".parquet" else table.write_ndjson
                    write(made / place)
                    written.append(path / place)
        (made / "README.md").write_text(card, encoding="utf-8")
        config = OmegaConf.to_yaml(OmegaConf.create(without_paths_in(dict(found.config))))
        (made / "config.yaml").write_text(config, encoding="utf-8")
        record = {"row": found.key, "origins": [origin.record() for origin in found.lineage.origins]}
        (made / "provenance.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        if path.exists():
            path.rmdir()
        made.replace(path)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return written
