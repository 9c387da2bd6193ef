"""Checks every byte of every entry, and takes corrupt ones away so that they are made again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from experiments.store.entry import Corrupt, read_entry
from experiments.store.layout import Ref, refs, remove
from experiments.store.lease import Busy

if TYPE_CHECKING:
    from experiments.store.store import Store


class Checked(NamedTuple):
    """An entry that was read.

    Args:
        ref: its name.
        wrong: what is wrong with it, in words; "" where nothing is.
    """

    ref: Ref
    wrong: str


def verify(root: Path) -> Iterator[Checked]:
    """Check all entries, several at a time: hashing leaves the interpreter to others."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        yield from pool.map(lambda ref: Checked(ref, wrong_with(root, ref)), list(refs(root)))


def wrong_with(root: Path, ref: Ref) -> str:
    """What is wrong with an entry; "" where nothing is, or where it has gone meanwhile."""
    place = root / ref.stage / ref.key
    try:
        read_entry(place)
    except Corrupt as error:
        return str(error) if place.is_dir() else ""
    except OSError as error:
        return f"cannot be read: {error.strerror}" if place.is_dir() else ""
    return ""


def repair(store: Store, ref: Ref) -> bool:
    """Take an entry away if it is corrupt still; False where a running process holds it."""
    try:
        with store.alone(ref):
            if wrong_with(store.root, ref):
                remove(store.root / ref.stage / ref.key)
    except Busy:
        return False
    return True


def take_away(store: Store, ref: Ref) -> bool:
    """Remove an entry; False where a running process holds it, or it has gone meanwhile."""
    try:
        with store.alone(ref):
            remove(store.root / ref.stage / ref.key)
    except (Busy, FileNotFoundError):
        return False
    return True
