"""Entries that were made elsewhere: put into a store whole or not at all, where there is none yet."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Any

from experiments.store import layout
from experiments.store.entry import Entry, read_manifest, write_foreign
from experiments.store.layout import Ref
from experiments.store.store import Store


def adopt(
    store: Store, ref: Ref, files: Mapping[str, bytes], facts: Mapping[str, Any], check: Callable[[Entry], object]
) -> bool:
    """Store an entry that was made elsewhere, unless there is a whole one: that is kept.

    Args:
        store: into which.
        ref: its name.
        files: content by name.
        facts: its manifest, but for its files.
        check: raises where what was written is not what it should be; nothing is stored then.

    Returns:
        whether it was stored.

    Raises:
        StoreFullError: no space; nothing half-written is left behind.
    """
    if store.entry(ref) is not None:
        return False
    place = store.root / ref.stage / ref.key
    parent = layout.draft(place.parent, ref.key)
    draft = parent / ref.stage / ref.key  # an entry's manifest has to agree with the folders that it lies in
    with store.writing():
        try:
            layout.begin(store.root)
            draft.mkdir(parents=True)
            write_foreign(draft, files, {**facts, "stage": ref.stage, "key": ref.key})
            check(Entry(draft, read_manifest(draft)))
            return store.settle(draft, place) is None
        finally:
            shutil.rmtree(parent, ignore_errors=True)
