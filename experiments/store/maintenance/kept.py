"""Kept tables: which rows a report is made of, so that nothing they need is ever taken for rubbish.

``tables/NAME.json`` names the rows in the order of the grid and all entries that they are made from. It is written before
the first stage runs, so that a sweep's results are kept while it runs and when it is interrupted; and what it lists stays
known when an entry is lost or corrupt and its manifest no longer leads on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from configs.errors import ConfigError, MoatBenchError
from configs.text import one_line
from experiments.store import layout
from experiments.store.layout import TABLES, Ref, ref_of
from experiments.store.maintenance.reach import reach
from experiments.store.provenance import provenance

if TYPE_CHECKING:
    from experiments.store.stage import Stage
    from experiments.store.store import Store


@dataclass(frozen=True)
class Kept:
    """A table that a run or sweep writes.

    Args:
        name: stem of its files.
        written: when.
        command: words after ``moatbench``; empty where not known.
        git: revision of the source.
        rows: in order; some may not be stored.
        entries: the rows and all that they are made from.
        run: what several commands that make it together have in common; "" where one command makes it.
    """

    name: str
    written: str
    command: tuple[str, ...]
    git: str | None
    rows: tuple[Ref, ...]
    entries: frozenset[Ref]
    run: str = ""


def keep(
    store: Store,
    name: str,
    rows: Iterable[Stage],
    command: Sequence[str] = (),
    finished: bool = True,
    run: str = "",
) -> Kept:
    """Record a table; the record.

    Args:
        store: that holds its rows, or will.
        name: of the table.
        rows: all that belong to it.
        command: words after ``moatbench`` that made it.
        finished: False before the rows are run. What an earlier table of that name was made from is then kept as well; when
            finished, the new one takes its place.
        run: a name for several commands that make one table together, each a part: it has the rows of all of them.
    """
    wanted = list(rows)
    entries = _stages(wanted)
    with one_by_one(store, name, run):
        before = _read_if_there(_path(store.root, name))
        joined = before if before is not None and run and before.run == run else None
        own = dict.fromkeys((*(joined.rows if joined else ()), *(Ref(row.name, row.key) for row in wanted)))
        if before is not None and (joined or not finished):
            entries |= before.entries
        if finished:
            entries |= reach(store.root, own)  # the shared work that they used
        table = Kept(
            name,
            time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            tuple(command),
            provenance()["git"],
            tuple(own),
            frozenset(entries),
            run,
        )
        _write(store, table)
    return table


def keep_foreign(store: Store, table: Kept) -> bool:
    """Record a table that was made elsewhere; whether it was not recorded yet.

    Raises:
        ConfigError: another table of that name has other rows.
    """
    before = _read_if_there(_path(store.root, table.name))
    if before is not None and before.rows != table.rows:
        reason = "is kept already, with other rows: give the imported one another name with --name"
        raise ConfigError("NAME", table.name, reason)
    if before is None:
        _write(store, table)
    return before is None


def _write(store: Store, table: Kept) -> None:
    content = asdict(table) | {
        "rows": [list(ref) for ref in table.rows],
        "entries": [list(ref) for ref in sorted(table.entries)],
    }
    with store.writing():
        layout.begin(store.root)
        layout.write_json(_path(store.root, table.name), content)


@contextlib.contextmanager
def one_by_one(store: Store, name: str, run: str) -> Iterator[None]:
    """Where several commands make a table together, one at a time does so."""
    if not run:
        yield
        return
    with store.alone(Ref(TABLES, hashlib.sha256(name.encode()).hexdigest()[:32]), wait=True):
        yield


def _stages(wanted: Iterable[Stage]) -> set[Ref]:
    """The stages that these are made from, whether they are stored or not."""
    found: set[Ref] = set()
    left = list(wanted)
    while left:
        stage = left.pop()
        ref = Ref(stage.name, stage.key)
        if ref not in found:
            found.add(ref)
            left += stage.inputs().values()
    return found


def kept(root: Path) -> list[Kept]:
    """All kept tables, by name.

    Raises:
        MoatBenchError: a record cannot be read; nothing that depends on knowing all of them should be done.
    """
    return [_read(path) for path in sorted((root / TABLES).glob("*.json")) if not path.name.startswith(".")]


def kept_named(root: Path, name: str, field: str) -> Kept:
    """The kept table of that name; raises `ConfigError` for ``field`` where there is none."""
    found = {table.name: table for table in kept(root)}
    if name not in found:
        reason = "is not a kept table of this store" + ("" if found else ": it has none; `run` and `sweep` keep theirs")
        raise ConfigError(field, name, reason, tuple(found))
    return found[name]


def forget(root: Path, name: str) -> None:
    """Drop the record of a table; its entries stay until they are collected."""
    _path(root, name).unlink(missing_ok=True)


def _path(root: Path, name: str) -> Path:
    return root / TABLES / f"{quote(name, safe='+ ')}.json"


def _read_if_there(path: Path) -> Kept | None:
    if path.exists():
        with contextlib.suppress(MoatBenchError):
            return _read(path)
    return None


def _read(path: Path) -> Kept:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        rows, entries = ([ref_of(*named) for named in content[part]] for part in ("rows", "entries"))
        words = tuple(one_line(str(word)) for word in content["command"])
        name, written, run = (one_line(str(content.get(part, ""))) for part in ("name", "written", "run"))
        git = None if content["git"] is None else str(content["git"])
        return Kept(name, written, words, git, tuple(rows), frozenset(entries), run)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise MoatBenchError(
            f"the record of a kept table, {path}, cannot be read ({type(error).__name__}): run the command that made the "
            "table again, or remove the file to give up the table"
        ) from error
