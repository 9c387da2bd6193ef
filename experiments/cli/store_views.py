"""What `moatbench store` prints: tables on a terminal, tab-separated lines with plain numbers in a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from configs.text import one_line
from experiments.cli.consoles import count, results
from experiments.store.maintenance.collect import Plan, reached_by
from experiments.store.maintenance.inventory import Holding, beside, items, manifest_of
from experiments.store.maintenance.kept import Kept, kept
from experiments.store.store import Store

LABEL = ("defense", "attack", "seed")
"""Facts of a row that name it for a reader."""


class Bytes(NamedTuple):
    """A number of bytes."""

    number: int

    def __str__(self) -> str:
        return size(self.number)


class Seconds(NamedTuple):
    """A time."""

    number: float

    def __str__(self) -> str:
        return lasting(self.number)


Cell = str | int | Bytes | Seconds


def overview(root: Path) -> None:
    """Kinds of entries, and kept tables."""
    kinds = _by_kind(items(root))
    rows: list[list[Cell]] = [
        [kind, len(found), Bytes(_size(found)), Seconds(sum(i.seconds for i in found)), max(i.written for i in found)]
        for kind, found in kinds.items()
    ]
    _print("entries", ("kind", "entries", "size", "made in", "newest"), rows)
    damaged = sum(one.manifest is None for found in kinds.values() for one in found)
    if damaged:
        print(f"moatbench: {count(damaged, 'entry', 'entries')} damaged: see `moatbench store verify`", file=sys.stderr)
    told: list[list[Cell]] = []
    for table in kept(root):
        stored = sum(manifest_of(root, ref) is not None for ref in table.rows)
        told.append([table.name, f"{stored} of {len(table.rows)}", table.written, " ".join(table.command) or "–"])
    if told:
        _print("kept tables", ("name", "rows stored", "written", "command"), told)


def entries(store: Store, kind: str) -> None:
    """Entries of one kind, newest first."""
    tables = {table.name: reached_by(store.root, [table]) for table in kept(store.root)}
    rows: list[list[Cell]] = []
    for one in sorted(items(store.root, kind), key=lambda i: (i.written, i.ref.key), reverse=True):
        users = ", ".join(name for name, reached in tables.items() if one.ref in reached)
        rows.append([one.ref.key[:8], Seconds(one.age), Seconds(one.seconds), Bytes(one.size), users, _label(one)])
    _print(kind, ("key", "last used", "made in", "size", "tables", "label"), rows)


def space(root: Path) -> None:
    """Bytes by kind and by kept table."""
    tables = kept(root)
    reached = reached_by(root, tables)
    found = list(items(root))
    rows: list[list[Cell]] = []
    for kind, some in _by_kind(found).items():
        used = _size([i for i in some if i.ref in reached])
        rows.append([kind, Bytes(_size(some)), Bytes(used), Bytes(_size(some) - used)])
    used = _size([i for i in found if i.ref in reached])
    rows += [[what, Bytes(number), "", ""] for what, number in beside(root).items() if number]
    total = _size(found) + sum(beside(root).values())
    rows.append(["total", Bytes(total), Bytes(used), Bytes(_size(found) - used)])
    _print("space", ("kind", "size", "of kept tables", "of none"), rows)
    own: list[list[Cell]] = []
    for table in tables:
        others = reached_by(root, [t for t in tables if t is not table])
        mine = [i for i in found if i.ref in reached_by(root, [table])]
        own.append([table.name, Bytes(_size(mine)), Bytes(_size([i for i in mine if i.ref not in others]))])
    if own:
        _print("kept tables", ("name", "size", "of it alone"), own)


def collection(planned: Plan, tables: Sequence[Kept], dry: bool) -> None:
    """What a collection removes and spares."""
    rows: list[list[Cell]] = [
        [kind, len(found), Bytes(_size(found)), Seconds(sum(i.seconds for i in found))]
        for kind, found in _by_kind(planned.rest).items()
    ]
    rows.append(["total", len(planned.rest), Bytes(_size(planned.rest)), Seconds(sum(i.seconds for i in planned.rest))])
    _print("would go" if dry else "goes", ("kind", "entries", "size", "made in"), rows)
    spared = [f"{count(len(planned.reached), 'result')} of {count(len(tables), 'kept table')}"]
    spared += [f"{len(planned.young)} of use a short while ago"] if planned.young else []
    spared += [f"{len(planned.busy)} that a running process holds"] if planned.busy else []
    print(f"moatbench: stays: {', '.join(spared)}", file=sys.stderr)


def size(number: int) -> str:
    """1.2 MB."""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def lasting(number: float) -> str:
    """0.3 s, 4 min, 2.5 h, 12 d."""
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if number >= 2 * length or (unit == "d" and number >= length):
            value = number / length
            return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    return f"{number:.1f} s"


def _by_kind(found: Iterable[Holding]) -> dict[str, list[Holding]]:
    kinds: dict[str, list[Holding]] = {}
    for one in found:
        kinds.setdefault(one.ref.stage, []).append(one)
    return dict(sorted(kinds.items()))


def _size(found: Sequence[Holding]) -> int:
    return sum(one.size for one in found)


def _label(one: Holding) -> str:
    """Which cell a row is of; "" for other entries, and what is said of a damaged one."""
    if one.manifest is None:
        return "damaged"
    try:
        meta = json.loads((one.path / "meta.json").read_text())
    except (OSError, ValueError, RecursionError):
        return "damaged"
    cell = meta.get("cell") if isinstance(meta, dict) else None
    if not isinstance(cell, dict):
        return ""
    return ", ".join(f"{name} {cell[name]}" for name in LABEL if cell.get(name) is not None)


def _print(title: str, head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    if not sys.stdout.isatty():
        print("\t".join(head))
        for row in rows:
            print(
                "\t".join(str(round(c.number, 3)) if isinstance(c, Bytes | Seconds) else one_line(str(c)) for c in row)
            )
        return
    table = Table(title=title, title_justify="left")
    for name, column in zip(head, zip(*rows, strict=True) if rows else [()] * len(head), strict=True):
        table.add_column(name, justify="left" if all(isinstance(cell, str) for cell in column) else "right")
    for row in rows:
        table.add_row(*map(str, row))
    results().print(table, highlight=False)
