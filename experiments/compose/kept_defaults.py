"""What was read and merged of a search path, kept for the next session of this process while no file of it has changed.

A process that composes often (a study, a report, the tests) reads each YAML once, not once a session. Knows no overrides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from hydra.plugins.config_source import ConfigSource

from experiments.compose.config_files import ConfigFiles
from experiments.compose.defaults import Defaults


class Stamp(NamedTuple):
    """A file as its folder tells of it: an edit changes one of these."""

    path: str
    changed_ns: int
    size: int
    inode: int


Kept = tuple[ConfigFiles, Defaults]

_KEPT: dict[tuple[str, ...], tuple[tuple[Stamp, ...], Kept]] = {}
"""By the places of a search path, for each the last state of its files."""


def kept(files: ConfigFiles) -> Kept:
    """These files and their `Defaults`, or those of an earlier session that found the same files unchanged."""
    places = tuple(map(repr, files.places))
    stamps = _stamps(files.places)
    if stamps is None:
        return files, Defaults(files)
    known = _KEPT.get(places)
    if known is None or known[0] != stamps:
        known = _KEPT[places] = (stamps, (files, Defaults(files)))
    return known[1]


def _stamps(places: tuple[ConfigSource, ...]) -> tuple[Stamp, ...] | None:
    """Of every YAML of these places; None where one of them is no folder."""
    found: list[Stamp] = []
    for place in places:
        if place.scheme() == "pkg":
            module, *folders = place.path.split("/")
            folder = resources.files(module).joinpath(*folders)
        elif place.scheme() == "file":
            folder = Path(place.path)
        else:
            continue  # Python classes, which `Defaults` asks for every time
        if not isinstance(folder, Path):
            return None
        found += _below(str(folder))
    return tuple(sorted(found))


def _below(folder: str) -> Iterator[Stamp]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _below(entry.path)
            elif entry.name.endswith(".yaml"):
                said = entry.stat()
                yield Stamp(entry.path, said.st_mtime_ns, said.st_size, said.st_ino)
