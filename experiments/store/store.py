"""The store: results of stages under their content hashes, safe against kills, full disks, flipped bits and other processes.

``root/<stage name>/<key>/`` is an entry (see `experiments.store.entry`). It is written beside its place and renamed, so that
it is there whole or not at all, and whoever renames first wins. Knows nothing of cells or of what stages compute.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configs.errors import MoatBenchError
from experiments.store import layout
from experiments.store.disk import FULL, READ_ONLY
from experiments.store.entry import (
    MANIFEST,
    Corrupt,
    Entry,
    read_entry,
    read_manifest,
    sync,
    write_entry,
)
from experiments.store.layout import FAILURES, LOCKS, RESERVED, SOURCES, Ref
from experiments.store.lease import PATIENCE, Busy, LeasePatience, lease, sign
from experiments.store.places import folder
from experiments.store.provenance import provenance
from experiments.store.sources import sources

if TYPE_CHECKING:
    from experiments.store.artifact import Artifact
    from experiments.store.stage import Stage


class StoreWarning(UserWarning):
    """Something in the store was wrong and has been put right."""


class StoreFullError(MoatBenchError):
    """No space is left for an entry. What was finished before is kept."""

    exit_code = 1

    def __init__(self, root: Path) -> None:
        self.root = root
        super().__init__(
            f"the disk that holds the store {root} is full: free some space (or raise the limit on the size of files, "
            "`ulimit -f`), or give another place with store=PATH, and run the same command again; finished stages are kept"
        )

    def __reduce__(self) -> tuple[type[StoreFullError], tuple[Path]]:
        return type(self), (self.root,)


class Store:
    """Results by content hash.

    Args:
        root: the folder that holds it; made when first written to.
        patience: when a process that holds a stage and shows no life is given up.

    Raises:
        StoreFormatError: it was made by another version.
        NotAStoreError: the folder holds other things.
        ConfigError: there can be no such folder.
    """

    def __init__(self, root: Path | str, patience: LeasePatience = PATIENCE) -> None:
        self.root, self.patience = folder("store", root), patience
        layout.check(self.root)
        self._checked: dict[Path, Entry] = {}
        self._shared: dict[Ref, set[Ref]] = {}
        self._noted: set[Path] = set()

    def has(self, stage: Stage) -> bool:
        """Whether there is an entry; its files are not looked into (`get` does)."""
        return (self._place(stage.name, stage.key) / MANIFEST).is_file()

    def get(self, stage: Stage) -> Entry | None:
        """The checked entry of a stage, or None. A corrupt one is removed, with a `StoreWarning`, and None returned."""
        return self._get(stage.name, stage.key)

    def put(self, stage: Stage, artifact: Artifact, seconds: float = 0.0) -> Entry:
        """Store what a stage made. Where another process was first, its entry is kept and returned.

        Args:
            stage: whose result it is.
            artifact: the result.
            seconds: how long it took.

        Raises:
            StoreFullError: no space; nothing half-written is left behind.
        """
        facts = {
            "stage": stage.name,
            "version": stage.version,
            "key": stage.key,
            "config": stage.config(),
            "inputs": {name: {"stage": s.name, "key": s.key} for name, s in stage.inputs().items()},
            "sources": sources(stage),
        }
        return self._put(stage.name, stage.key, artifact, facts, seconds)

    def memo(self, name: str, content: Mapping[str, Any], make: Callable[[], Artifact]) -> Entry:
        """The entry for work that several stages share; made once, by whoever comes first, while others wait.

        The manifests of all stages that are claimed meanwhile say that they used it.

        Args:
            name: folder of its kind, like a stage's name.
            content: JSON-able; everything that determines the result.
            make: does the work.
        """
        text = json.dumps(content, sort_keys=True, allow_nan=False)
        key = hashlib.sha256(f"{name}\0{text}".encode()).hexdigest()[:32]
        for used in list(self._shared.values()):
            used.add(Ref(name, key))
        entry = self._get(name, key)
        if entry is not None:
            return entry
        with self._lock(name, key), self._noting(Ref(name, key)):
            entry = self._get(name, key)
            if entry is not None:
                return entry
            start = time.monotonic()
            artifact = make()
            facts = {"stage": name, "version": 0, "key": key, "config": json.loads(text), "inputs": {}, "sources": {}}
            return self._put(name, key, artifact, facts, time.monotonic() - start)

    @contextmanager
    def claim(self, stage: Stage) -> Iterator[None]:
        """Hold a stage, so that no other process does it meanwhile; waits until it is free.

        A holder that is killed lets go. One that stood still for long may have lost the stage to another: it is then done
        twice, and what is put first is kept.
        """
        with self._lock(stage.name, stage.key), self._noting(Ref(stage.name, stage.key)):
            yield

    def manifests(self, name: str) -> Iterator[dict[str, Any]]:
        """Manifests of all readable entries of one kind, newest first; their other files are not checked."""
        folder = self.root / name
        if not folder.is_dir():
            return
        places = [p for p in folder.iterdir() if not p.name.startswith(".")]
        for place in sorted(places, key=lambda p: -p.stat().st_mtime):
            try:
                yield read_manifest(place)
            except Corrupt:
                continue

    def entries(self, name: str) -> Iterator[Entry]:
        """All whole entries of one kind, checked, newest first."""
        for manifest in self.manifests(name):
            entry = self._get(name, str(manifest["key"]))
            if entry is not None:
                yield entry

    def entry(self, ref: Ref) -> Entry | None:
        """As `get`, for an entry whose stage is not at hand."""
        return self._get(*ref)

    def manifest(self, stage: Stage) -> dict[str, Any] | None:
        """What an entry says of itself, None where there is none that can be read; its other files are not checked."""
        try:
            return read_manifest(self._place(stage.name, stage.key))
        except Corrupt:
            return None

    def sources(self, part: str) -> set[str]:
        """Hashes of all code by which a part was ever run for this store; see `experiments.store.sources`."""
        folder = self.root / SOURCES / part
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()

    def sweep(self) -> int:
        """Remove drafts that dead writers left behind; how many there were."""
        stale = [path for path in layout.drafts(self.root) if layout.abandoned(path)] + layout.forgotten(self.root)
        for path in stale:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return len(stale)

    def failure_path(self, stage: Stage) -> Path:
        """Where the traceback of a failed stage is kept."""
        return self.root / FAILURES / f"{stage.key}.txt"

    @contextmanager
    def alone(self, ref: Ref, wait: bool = False) -> Iterator[None]:
        """Hold an entry while something is done to it. Raises `Busy` where it is held and this should not wait."""
        with self._lock(ref.stage, ref.key, wait):
            yield

    def sign(self, stage: Stage) -> object | None:
        """The last sign of life of the process that holds a stage, None where none does; see `lease.sign`."""
        return sign(self._lease(stage.name, stage.key))

    def settle(self, draft: Path, place: Path) -> Entry | None:
        """Give a whole entry its name, unless a whole one has it already: then that is returned. The rename alone decides:
        no lease is needed where nothing is in the way."""
        while not _renamed(draft, place):
            name, key = place.parent.name, place.name
            with self._lock(name, key):  # whatever is there, nobody else takes it away meanwhile
                first = self._get(name, key)
            if first is not None:
                return first
        sync(place.parent)
        return None

    def _place(self, name: str, key: str) -> Path:
        assert name not in RESERVED, name
        return self.root / name / key

    def _get(self, name: str, key: str) -> Entry | None:
        place = self._place(name, key)
        known = self._checked.get(place)
        if known is not None and place.is_dir():
            return known
        if not place.is_dir():
            return None
        try:
            entry = read_entry(place)
        except Corrupt:
            return self._discard(name, key)
        with contextlib.suppress(OSError):  # says when it was last of use; a store may be there to read only
            os.utime(place / MANIFEST)
        self._checked[place] = entry
        return entry

    def _discard(self, name: str, key: str) -> Entry | None:
        """Remove an entry that is corrupt, unless another process is at it or has just put it right."""
        place = self._place(name, key)
        try:
            with self._lock(name, key, wait=False):
                try:
                    return read_entry(place)
                except Corrupt as error:
                    if place.is_dir():
                        layout.check(self.root)  # a newer version may have brought the store up to date meanwhile
                        layout.remove(place)
                        text = f"store entry {name}/{key[:8]} is corrupt ({error}): removed, and made again when needed"
                        warnings.warn(text, StoreWarning, stacklevel=4)
        except Busy:
            pass
        except OSError as error:
            if error.errno not in READ_ONLY:
                raise
            text = f"store entry {name}/{key[:8]} is corrupt, and stays where it is: the store cannot be written to"
            warnings.warn(text, StoreWarning, stacklevel=4)
        return None

    def _put(self, name: str, key: str, artifact: Artifact, facts: Mapping[str, Any], seconds: float) -> Entry:
        place = self._place(name, key)
        more = {
            "memos": [ref._asdict() for ref in sorted(self._shared.get(Ref(name, key), ()))],
            "seconds": round(seconds, 3),
            "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            **provenance(),
        }
        draft = layout.draft(place.parent, key)
        with self.writing():
            try:
                layout.begin(self.root)
                self._note_sources(facts["sources"])
                draft.mkdir(parents=True)
                write_entry(draft, artifact, {**facts, **more})
                first = self.settle(draft, place)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        entry = Entry(place, read_manifest(place)) if first is None else first
        self._checked[place] = entry
        return entry

    def _note_sources(self, found: Mapping[str, str]) -> None:
        for part, source in found.items():
            place = self.root / SOURCES / part / source
            if place not in self._noted:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.touch()
                self._noted.add(place)

    @contextmanager
    def _lock(self, name: str, key: str, wait: bool = True) -> Iterator[None]:
        """A lease between processes; the thread that holds it may take it again. Raises `Busy` if not waiting."""
        with ExitStack() as stack:
            with self.writing():
                layout.begin(self.root)
                stack.enter_context(lease(self._lease(name, key), self.patience, wait))
            yield

    def _lease(self, name: str, key: str) -> Path:
        return self.root / LOCKS / f"{name}-{key}.lease"

    @contextmanager
    def _noting(self, ref: Ref) -> Iterator[None]:
        """Note what shared work is used meanwhile, for the manifest of this entry. Several that are claimed at
        once all note it: `maintenance.collect` then keeps the shared work for longer than it must, never for too short."""
        if ref in self._shared:
            yield
            return
        self._shared[ref] = set()
        try:
            yield
        finally:
            del self._shared[ref]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Whatever says meanwhile that the disk is full becomes a `StoreFullError`."""
        try:
            yield
        except Exception as error:
            if is_full(error):
                raise StoreFullError(self.root) from error
            raise


def _renamed(draft: Path, place: Path) -> bool:
    try:
        draft.rename(place)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def is_full(error: BaseException) -> bool:
    """Whether an error of any of the writing libraries says that the disk, the quota or a limit on files is exhausted."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return any(os.strerror(number) in str(error) or f"os error {number})" in str(error) for number in FULL)
