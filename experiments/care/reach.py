"""What an entry was made from: a walk down the inputs and the shared work that manifests name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from experiments.care.inventory import manifest_of
from experiments.layout import Ref, kinds, refs


def reach(root: Path, wanted: Iterable[Ref]) -> set[Ref]:
    """The wanted entries and everything that they were made from, down to the first, as far as it can be read.

    An entry made before manifests named the shared work that they used (format 1) may have used any of it: then all shared
    work is taken to be reached.
    """
    found: set[Ref] = set()
    left = list(wanted)
    unknown = False
    while left:
        ref = left.pop()
        if ref in found:
            continue
        found.add(ref)
        manifest = manifest_of(root, ref)
        if manifest is None:
            continue
        memos = manifest["memos"]
        unknown |= memos is None
        left += [Ref(needed["stage"], needed["key"]) for needed in (*manifest["inputs"].values(), *(memos or ()))]
    return found | _shared(root) if unknown else found


def _shared(root: Path) -> set[Ref]:
    return {
        ref
        for kind in kinds(root)
        for ref in refs(root, kind)
        if (manifest := manifest_of(root, ref)) is not None and manifest["version"] == 0
    }
