"""A hash of what files hold, quick enough to be asked for before every run: large files are read in samples.

Of a file of up to 64 MiB every byte is read. Of a larger one (weights of a model) its size, its first MiB and 4 KiB at the
start of every further MiB are: retrained, merged, quantised or cut weights differ there, while a change within a single
stretch of less than a MiB may pass unseen. Names and times of files are not looked at by `content_of`, so that copies agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

WHOLE = 64 * 2**20
"""Bytes up to which a file is read in full."""
STEP, SAMPLE = 2**20, 4096
"""Of a larger one: bytes from sample to sample, and of a sample."""


def content_of(files: Iterable[Path]) -> str:
    """Hex hash over the content of files, in the order of their names; "" for none. Remembered while size and time of
    change of all of them stay the same.

    Raises:
        OSError: one cannot be read.
    """
    ordered = sorted(files, key=lambda file: file.name)
    return hashlib.sha256("".join(_known(file) for file in ordered).encode()).hexdigest()[:32] if ordered else ""


def _known(file: Path) -> str:
    state = file.stat()
    return _hashed(file.absolute(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hashed(file: Path, size: int, changed: int) -> str:
    with file.open("rb") as stream:
        if size <= WHOLE:
            return hashlib.file_digest(stream, "sha256").hexdigest()
        found = hashlib.sha256(f"{size}\n".encode())
        found.update(stream.read(STEP))
        for place in range(STEP, size, STEP):
            stream.seek(place)
            found.update(stream.read(SAMPLE))
    return found.hexdigest()
