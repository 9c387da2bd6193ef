"""What lies where in the folder of a store, and in which format: shared by all who read or look after one.

``KIND/KEY/`` is an entry, ``tables/`` holds records of kept tables, ``failures/`` tracebacks, ``.locks/`` leases,
``.partial/`` what stages under way have so far, ``sources/`` by which code each part was run, and ``store.json`` the format
of it all. Knows nothing of what is in an entry.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from configs.errors import MoatBenchError
from experiments.store.entry import FORMAT, sync
from experiments.store.manifest import KEY, KIND
from experiments.store.process import alive, machine

TEMPORARY = ".tmp-"
LOCKS = ".locks"
PARTIAL = ".partial"
FAILURES = "failures"
TABLES = "tables"
SOURCES = "sources"
RESERVED = (LOCKS, PARTIAL, FAILURES, TABLES, SOURCES)
MARK = "store.json"
STALE_SECONDS = 24 * 3600.0
"""Age after which a temporary folder of a process on another machine is taken for abandoned."""

LONGEST = 30 * 24 * 3600.0
"""Age after which parts of a stage that nobody came back for are removed."""


class Ref(NamedTuple):
    """Names an entry.

    Args:
        stage: name of the stage, or of the work that stages share.
        key: its hash.
    """

    stage: str
    key: str

    def __str__(self) -> str:
        return f"{self.stage}/{self.key[:8]}"


def ref_of(stage: Any, key: Any) -> Ref:
    """The name of an entry as a record gives it: it leads nowhere but into the store.

    Raises:
        ValueError: it is not such a name.
    """
    if not (isinstance(stage, str) and KIND.fullmatch(stage) and isinstance(key, str) and KEY.fullmatch(key)):
        raise ValueError(f"{stage!r}/{key!r} is not the name of an entry")
    return Ref(stage, key)


class StoreFormatError(MoatBenchError):
    """A store that this version does not read."""


class NotAStoreError(MoatBenchError):
    """A folder that holds other things; it is left alone."""


def write_json(path: Path, content: Any) -> None:
    """Write a small JSON file whole or not at all; the folder above is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = draft(path.parent, "json")
    try:
        made.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
        sync(made)
        made.replace(path)
        sync(path.parent)
    finally:
        made.unlink(missing_ok=True)


def draft(folder: Path, stem: str) -> Path:
    """A name beside others that nobody else uses, and that tells who made it."""
    return folder / f"{TEMPORARY}{stem}-{machine()}-{os.getpid()}-{secrets.token_hex(4)}"


def drafts(root: Path) -> list[Path]:
    """All drafts, those being written included."""
    return [*root.glob(f"{TEMPORARY}*"), *root.glob(f"*/{TEMPORARY}*")]


def abandoned(path: Path) -> bool:
    """Whether the maker of a draft is gone."""
    try:
        where, pid = path.name.removeprefix(TEMPORARY).rsplit("-", 3)[1:3]
        if where == machine():
            return not alive(int(pid))
        return time.time() - path.stat().st_mtime > STALE_SECONDS
    except (OSError, ValueError):
        return False


def forgotten(root: Path) -> list[Path]:
    """Folders of parts of stages that nobody has added to for long."""
    now, folder = time.time(), root / PARTIAL
    return [path for path in folder.iterdir() if now - path.stat().st_mtime > LONGEST] if folder.is_dir() else []


def remove(place: Path) -> None:
    """Take a folder away in one step, then delete it: a reader sees all of it or nothing."""
    away = draft(place.parent, place.name)
    place.rename(away)
    shutil.rmtree(away, ignore_errors=True)


def kinds(root: Path) -> list[str]:
    """Names of the folders that hold entries, sorted."""
    if not root.is_dir():
        return []
    return sorted(p.name for p in root.iterdir() if _may_be_kind(p) and any(_keys(p)))


def refs(root: Path, kind: str | None = None) -> Iterator[Ref]:
    """What has the name of an entry, of one kind or of all, sorted. What is inside is not looked at."""
    for name in kinds(root) if kind is None else [kind]:
        if (root / name).is_dir():
            yield from (Ref(name, key) for key in sorted(_keys(root / name)))


def format_of(root: Path) -> int | None:
    """Format of a store; None where there is none yet.

    Raises:
        NotAStoreError: the folder holds other things.
    """
    try:
        mark = json.loads((root / MARK).read_text())
    except FileNotFoundError:
        try:
            found = _unmarked(root)
        except NotAStoreError:
            if not (root / MARK).exists():
                raise
        else:
            if not (root / MARK).exists():
                return found
        return format_of(root)  # another process has made it a store meanwhile
    except NotADirectoryError:
        raise NotAStoreError(f"store = {str(root)!r}: is a file; name a folder with store=PATH") from None
    except ValueError:
        mark = None
    number = mark.get("format") if isinstance(mark, dict) else None
    if not isinstance(number, int):
        raise NotAStoreError(f"store = {str(root)!r}: its {MARK} is not that of a store; name another with store=PATH")
    return number


def check(root: Path) -> None:
    """See to it that a folder is a store that can be read, or can become one.

    Raises:
        StoreFormatError: it was made by an older version, or by a newer one.
        NotAStoreError: it holds other things.
    """
    found = format_of(root)
    if found is None or found == FORMAT:
        return
    if found > FORMAT:
        raise StoreFormatError(
            f"the store {root} was made by a newer version (its format is {found}, this version reads {FORMAT}): "
            "use that version, or name another store with store=PATH"
        )
    raise StoreFormatError(
        f"the store {root} was made by an older version (its format is {found}, this version reads {FORMAT}; "
        "its results do not say by which version of a method they were made, so none can be read on): set it aside and "
        f"begin a new one with `moatbench store migrate store={root}`"
    )


def begin(root: Path) -> None:
    """Make a folder a store, before anything is put into it."""
    if not (root / MARK).exists():
        write_json(root / MARK, {"format": FORMAT})


def _unmarked(root: Path) -> int | None:
    """Before there was a mark the format was 1. A store may be empty, or hold nothing but drafts."""
    if kinds(root):
        return 1
    strange = [p.name for p in root.iterdir() if not _ours(p)] if root.is_dir() else []
    if strange:
        shown = ", ".join(sorted(strange)[:3]) + (", …" if len(strange) > 3 else "")
        raise NotAStoreError(
            f"store = {str(root)!r}: is not a store but holds other things ({shown}); "
            "name a store, or a new or empty folder, with store=PATH"
        )
    return None


def _ours(path: Path) -> bool:
    if path.name.startswith(".") or path.name in RESERVED:
        return True
    with contextlib.suppress(OSError):
        return path.is_dir() and all(p.name.startswith(TEMPORARY) for p in path.iterdir())
    return False


def _may_be_kind(path: Path) -> bool:
    return path.name not in RESERVED and KIND.fullmatch(path.name) is not None and path.is_dir()


def _keys(folder: Path) -> Iterator[str]:
    try:
        names = os.listdir(folder)
    except OSError:
        return
    yield from (name for name in names if KEY.fullmatch(name))
