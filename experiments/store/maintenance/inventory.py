"""What is in a store and how large it is. Reads manifests, not the files they describe."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.store.entry import MANIFEST, Corrupt, read_manifest
from experiments.store.layout import FAILURES, LOCKS, TABLES, Ref, drafts, refs


@dataclass(frozen=True)
class Holding:
    """An entry as it lies there.

    Args:
        ref: its name.
        path: its folder.
        size: bytes of its files.
        used: when it was last read by a run or written, in seconds since 1970.
        manifest: None where it cannot be read.
    """

    ref: Ref
    path: Path
    size: int
    used: float
    manifest: dict[str, Any] | None

    @property
    def age(self) -> float:
        """Seconds since it was last of use."""
        return time.time() - self.used

    @property
    def seconds(self) -> float:
        """How long it took to make."""
        return float(self.manifest["seconds"]) if self.manifest else 0.0

    @property
    def written(self) -> str:
        """When it was made, as text; "" where that cannot be read."""
        return str(self.manifest["written"]) if self.manifest else ""

    @property
    def shared(self) -> bool:
        """Whether it is work that stages share, which no stage has among its inputs."""
        return bool(self.manifest) and self.manifest["version"] == 0  # type: ignore[index]


def items(root: Path, kind: str | None = None) -> Iterator[Holding]:
    """All entries of one kind or of all; one that is removed meanwhile is left out."""
    for ref in refs(root, kind):
        found = item(root, ref)
        if found is not None:
            yield found


def item(root: Path, ref: Ref) -> Holding | None:
    """One entry, or None where there is none."""
    path = root / ref.stage / ref.key
    try:
        used = max(os.stat(place).st_mtime for place in (path, path / MANIFEST) if place.exists())
    except (OSError, ValueError):
        return None
    return Holding(ref, path, size_of(path), used, manifest_of(root, ref))


def manifest_of(root: Path, ref: Ref) -> dict[str, Any] | None:
    """The manifest of an entry; None where it is missing or corrupt."""
    try:
        return read_manifest(root / ref.stage / ref.key)
    except (Corrupt, OSError):
        return None


def beside(root: Path) -> dict[str, int]:
    """Bytes of what is not an entry, by what it is."""
    return {
        "leases": size_of(root / LOCKS),
        "drafts": sum(size_of(path) for path in drafts(root)),
        "failures": size_of(root / FAILURES),
        "kept tables": size_of(root / TABLES),
    }


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    try:
        if not path.is_dir():
            return path.stat().st_size
        return sum(size_of(child) for child in path.iterdir())
    except OSError:
        return 0
