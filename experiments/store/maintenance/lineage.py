"""Where stored rows come from: sources, versions and machines of all that they were made from. Knows no measures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from configs.text import one_line
from experiments.store.layout import Ref
from experiments.store.maintenance.inventory import manifest_of

SHORT = 12
"""Digits of a key or digest that a table shows; `moatbench trace` takes any that tell a row apart."""

COLUMNS = ("rows", "revision", "lock", "cpu")
"""Columns of a CSV that say where a line comes from."""


class Origin(NamedTuple):
    """A source, an environment and a machine. Whoever wrote the manifest may have written anything: all is text.

    Args:
        git: revision of the source, as a whole; "" where not known.
        dirty: whether the source had changes that were not committed.
        packages: versions by name, sorted.
        python: its version.
        cpu: name of the processor.
        gpu: name of the accelerator, "" without one.
    """

    git: str
    dirty: bool
    packages: tuple[tuple[str, str], ...]
    python: str
    cpu: str
    gpu: str

    @property
    def revision(self) -> str:
        """First seven digits of the revision, with a + where changes were not committed."""
        return (self.git[:7] or "unknown") + "+" * self.dirty

    @property
    def lock(self) -> str:
        """Digest of the versions: equal where Python and all packages that can change a number are."""
        text = json.dumps([self.python, self.packages])
        return hashlib.sha256(text.encode()).hexdigest()[:SHORT]

    @property
    def machine(self) -> str:
        """Processor and accelerator."""
        return f"{self.cpu} + {self.gpu}" if self.gpu else self.cpu

    def record(self) -> dict[str, Any]:
        """JSON-able."""
        return {**self._asdict(), "packages": dict(self.packages), "revision": self.revision, "lock": self.lock}


class Lineage(NamedTuple):
    """Where a number comes from.

    Args:
        rows: keys of the rows that it is computed from, in order.
        origins: of these and of everything that they were made from, sorted.
    """

    rows: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()

    def told(self) -> dict[str, str]:
        """Text for `COLUMNS`; what is several is parted by spaces, machines by semicolons."""
        return {
            "rows": " ".join(key[:SHORT] for key in self.rows),
            "revision": " ".join(_each(o.revision for o in self.origins)),
            "lock": " ".join(_each(o.lock for o in self.origins)),
            "cpu": "; ".join(_each(o.machine for o in self.origins)),
        }

    def record(self) -> dict[str, list[str]]:
        """JSON-able: as `told`, keys as a whole."""
        return {
            "rows": list(self.rows),
            "revision": _each(o.revision for o in self.origins),
            "lock": _each(o.lock for o in self.origins),
            "cpu": _each(o.machine for o in self.origins),
        }


NOWHERE = Lineage()
"""Of what was not read from a store."""


def joined(lineages: Iterable[Lineage]) -> Lineage:
    """Of a number that is computed from several."""
    several = list(lineages)
    rows = dict.fromkeys(key for one in several for key in one.rows)
    return Lineage(tuple(rows), tuple(sorted({origin for one in several for origin in one.origins})))


class Lineages:
    """Looks up where entries of a store come from; reads each manifest once.

    Args:
        root: of the store.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._known = root, dict[Ref, frozenset[Origin]]()

    def of(self, ref: Ref) -> Lineage:
        """Of a row. What can no longer be read says nothing."""
        return Lineage((ref.key,), tuple(sorted(self._origins(ref))))

    def _origins(self, ref: Ref) -> frozenset[Origin]:
        if ref not in self._known:
            self._known[ref] = frozenset()  # an entry that somebody wrote may have itself among its inputs
            manifest = manifest_of(self._root, ref)
            if manifest is not None:
                needed = [Ref(one["stage"], one["key"]) for one in (*manifest["inputs"].values(), *manifest["memos"])]
                found = [origin_of(manifest)] if manifest.get("made") is None else _made(manifest["made"])
                self._known[ref] = frozenset(found).union(*map(self._origins, needed))
        return self._known[ref]


def origin_of(manifest: Mapping[str, Any]) -> Origin:
    """Where a manifest, or a record of the same parts, says that it was made."""
    packages = manifest.get("packages")
    versions = packages.items() if isinstance(packages, Mapping) else ()
    return Origin(
        _text(manifest.get("git")),
        manifest.get("dirty") is True,
        tuple(sorted((_text(name), _text(version)) for name, version in versions)),
        _text(manifest.get("python")),
        _text(manifest.get("cpu")),
        _text(manifest.get("gpu")),
    )


def _made(records: Any) -> list[Origin]:
    """Of an imported row, what it was made from is not there: its manifest says where all of that was made."""
    return [origin_of(one) for one in records if isinstance(one, Mapping)] if isinstance(records, list) else []


def _text(value: Any) -> str:
    return "" if value is None else one_line(str(value))


def _each(values: Iterable[str]) -> list[str]:
    return sorted(set(values) - {""})
