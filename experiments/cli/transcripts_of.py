"""``moatbench transcripts``: what was said in one stored cell, item by item."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from configs.errors import ConfigError, MoatBenchError, require
from experiments.calibration.settle import settle
from experiments.cli import consoles
from experiments.cli.arguments import CommandLine
from experiments.compose.compose import compose_cells, compose_one

if TYPE_CHECKING:
    from experiments.measure.cell_result import CellResult
    from experiments.store.entry import Entry
    from experiments.store.store import Store

PREFIX = re.compile(r"[0-9a-f]{4,32}")
WHAT = ("both", "harvest", "heldout")


class RowWords(NamedTuple):
    """What the words say: the beginning of a row's key, "" for none, and overrides."""

    prefix: str
    overrides: tuple[str, ...]


def main(asked: CommandLine) -> int:
    """Print the items."""
    options = asked.options
    words = own_words(asked.words)
    from experiments.report.told_items import told_items
    from experiments.report.told_terminal import render_items
    from experiments.stages.row import result_of

    if options.items is not None:
        require(options.items >= 1, "--items", options.items, "must be at least 1")
    entry = _by_key(words) if words.prefix else _by_overrides(words.overrides)
    result = result_of(entry)
    told = told_items(result, options.items)
    if not any(told.values()):
        raise MoatBenchError(
            f"row {entry.key[:8]} was stored without texts: it is older than that, or measure.transcripts was 0. To have "
            "them, run its command again with another store (store=PATH)"
        )
    console = consoles.results()
    console.print(_heading(entry, result), highlight=False, markup=False)
    families = {item.family for items in told.values() for item in items}
    if options.family is not None and options.family not in families:
        raise ConfigError("--family", options.family, "has no texts here", tuple(sorted(filter(None, families))))
    titles = {"harvest": "The attacker's prompts", "heldout": "Held-out items"}
    for kind, items in told.items():
        own = [item for item in items if options.family in (None, item.family)]
        if own and options.what in ("both", kind):
            console.print(f"\n{titles[kind]}\n", style="bold", highlight=False)
            render_items(own, console)
    return 0


def own_words(words: Sequence[str]) -> RowWords:
    """Take the beginning of a key out of the words.

    Raises:
        ConfigError: a word that is neither that nor an override, or two keys.
    """
    keys = [word for word in words if "=" not in word and not word.startswith("+")]
    for word in keys:
        require(
            PREFIX.fullmatch(word) is not None and len(keys) == 1,
            "ROW",
            word,
            "must be the first letters of one row's key (at least 4, of 0-9 and a-f; `moatbench store ls row`), or an "
            "override such as defense=trace_hidden",
        )
    return RowWords(keys[0] if keys else "", tuple(word for word in words if word not in keys))


def _by_key(words: RowWords) -> Entry:
    from experiments.cli.stored_rows import store_of
    from experiments.stages.row import RowStage
    from experiments.store.layout import ref_of

    store: Store = store_of([compose_one(words.overrides)])
    folder = store.root / RowStage.name
    keys = sorted(path.name for path in folder.glob(f"{words.prefix}*")) if folder.is_dir() else []
    if len(keys) > 1:
        raise ConfigError("ROW", words.prefix, f"begins {len(keys)} rows: write more of it", tuple(keys[:5]))
    entry = store.entry(ref_of(RowStage.name, keys[0])) if keys else None
    if entry is None:
        raise MoatBenchError(f"no row of the store {store.root} begins with {words.prefix}: see moatbench store ls row")
    return entry


def _by_overrides(overrides: Sequence[str]) -> Entry:
    from experiments.cli.stored_rows import store_of, stored, wanted_rows

    cells = settle(compose_cells(overrides)).cells
    if len(cells) != 1:
        raise ConfigError("overrides", " ".join(overrides), f"are {len(cells)} cells: name one, seed included")
    store = store_of(cells)
    found = stored(wanted_rows(cells), store)
    if not found:
        raise MoatBenchError(
            f"the cell {cells[0].label} is not stored in {store.root}: run it first, or name another store="
        )
    return found[0]


def _heading(entry: Entry, result: CellResult) -> str:
    cell = result.cell
    return f"row {entry.key[:8]}: {cell.get('defense')}, {cell.get('attack')}, seed {cell.get('seed')}"
