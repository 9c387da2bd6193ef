"""Brings a store of an older format up to date, entry by entry; may be ended at any moment and started again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from configs.errors import MoatBenchError
from experiments.entry import FORMAT, MANIFEST, signed, sync
from experiments.layout import LOCKS, MARK, StoreFormatError, check, format_of, refs, write_json
from experiments.lease import PATIENCE, Patience, lease

Manifest = dict[str, Any]


def migrate(root: Path, patience: Patience = PATIENCE, told: Callable[[int], None] = lambda _: None) -> int:
    """Bring a store to the present format; how many entries were changed.

    An entry whose manifest is corrupt is left as it is: whoever reads it next removes it.

    Args:
        root: of the store.
        patience: when another process that does the same is given up.
        told: is called after each entry with their number.

    Raises:
        MoatBenchError: there is no store.
        StoreFormatError: it is of a newer format.
        NotAStoreError: the folder holds other things.
    """
    found = format_of(root)
    if found is None:
        raise MoatBenchError(f"store = {str(root)!r}: there is no store; name one with store=PATH")
    if found < FORMAT and found not in STEPS:
        raise StoreFormatError(f"the store {root} is of format {found}, which no version wrote")
    if found >= FORMAT:
        check(root)
        return 0
    write_json(root / MARK, {"format": found})  # whatever happens from here on, the store is not taken for a new one
    count = 0
    with lease(root / LOCKS / "migrate.lease", patience):
        for old in range(format_of(root) or found, FORMAT):
            for ref in refs(root):
                count += _changed(root / ref.stage / ref.key, old)
                told(count)
        for path in (root / LOCKS).iterdir():
            if path.is_file():  # locks of format 1
                path.unlink()
        write_json(root / MARK, {"format": FORMAT})
    return count


def _changed(place: Path, old: int) -> bool:
    """Give an entry a manifest of the next format, in one step; False where it has it already or is corrupt."""
    try:
        manifest = json.loads((place / MANIFEST).read_text())
    except (OSError, ValueError):
        return False
    if not isinstance(manifest, dict) or manifest.get("format") != old:
        return False
    if manifest.get("sha256") != signed(_unsigned(manifest))["sha256"]:
        return False
    made = place / f"{MANIFEST}.new"
    made.write_text(json.dumps(signed({**STEPS[old](_unsigned(manifest)), "format": old + 1}), indent=1))
    sync(made)
    shutil.copystat(place / MANIFEST, made)  # the time says when the entry was last of use
    made.replace(place / MANIFEST)
    return True


def _unsigned(manifest: Mapping[str, Any]) -> Manifest:
    return {name: value for name, value in manifest.items() if name != "sha256"}


def _memos(manifest: Manifest) -> Manifest:
    """1 to 2: manifests name the shared work that they used. What stages used is not known; shared work used none."""
    return {**manifest, "memos": [] if manifest.get("version") == 0 else None}


STEPS: dict[int, Callable[[Manifest], Manifest]] = {1: _memos}
"""From each format to the next."""
