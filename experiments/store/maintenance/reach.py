"""What an entry was made from, and what was made with a part: walks along the inputs and shared work that manifests name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from experiments.store.layout import Ref, refs
from experiments.store.maintenance.inventory import manifest_of


def reach(root: Path, wanted: Iterable[Ref]) -> set[Ref]:
    """The wanted entries and everything that they were made from, down to the first, as far as it can be read."""
    found: set[Ref] = set()
    left = list(wanted)
    while left:
        ref = left.pop()
        if ref in found:
            continue
        found.add(ref)
        manifest = manifest_of(root, ref)
        if manifest is None:
            continue
        left += [Ref(needed["stage"], needed["key"]) for needed in (*manifest["inputs"].values(), *manifest["memos"])]
    return found


def made_with(root: Path, part: str) -> set[Ref]:
    """Entries that a part influenced, whatever its version: those it was run for, all that was made from these, and the
    shared work that they used (what others used of it too is made again when needed).

    Args:
        root: of the store.
        part: its kind and name, as ``recover/dedup``.
    """
    manifests = {ref: manifest for ref in refs(root) if (manifest := manifest_of(root, ref)) is not None}
    found = {ref for ref, m in manifests.items() if any(name.rpartition("/")[0] == part for name in m["sources"])}
    new = found
    while new:
        new = {r for r, m in manifests.items() if r not in found and _reads(m, new)}
        found = found | new
    memos = {Ref(used["stage"], used["key"]) for ref in found for used in manifests[ref]["memos"]}
    return found | (memos & manifests.keys())


def _reads(manifest: dict[str, Any], some: set[Ref]) -> bool:
    return any(Ref(needed["stage"], needed["key"]) in some for needed in manifest["inputs"].values())
