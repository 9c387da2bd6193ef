"""Reads archives that `experiments.publish.archive` wrote, or that somebody else says it did: nothing in one is believed
before it is checked, nothing is run, and nothing leaves its place."""

from __future__ import annotations

import hashlib
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from configs.errors import ConfigError, MoatBenchError
from configs.text import one_line
from experiments.publish.archive import SUMS, check_ending

NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_ .+=@-]{0,199}/){0,8}[A-Za-z0-9_][A-Za-z0-9_ .+=@-]{0,199}")
"""A path in an archive: below its folder, no part of it hidden or ``..``."""
MOST_FILES = 200_000
MOST_BYTES = 64 * 10**9
"""Of all files, unpacked."""
MOST_EACH = 4 * 10**9
PACKED = 100
"""How many times larger than the archive its content may be; beyond, it was made to fill disks."""
SLACK = 10**8
"""Bytes that may be unpacked of any archive, however small."""
CHUNK = 2**20


class ArchiveError(MoatBenchError):
    """An archive that is damaged, or is not what it says."""


def opened(field: str, path: Path, wanted: Callable[[str], bool] = lambda name: True) -> dict[str, bytes]:
    """Files of an archive by their path below its top folder, checked against its sums.

    Args:
        field: that named the archive, for messages.
        path: of the archive.
        wanted: which files are kept; all are checked.

    Raises:
        ConfigError: the path ends in neither .tar.gz nor .zip, or there is no such file.
        ArchiveError: damaged, cut, with paths that leave its folder, links, files twice, or more than it may hold; or a
            file is not the one that its sums name, or has none.
    """
    kept: dict[str, bytes] = {}
    sums: dict[str, str] = {}
    stated = b""
    for name, file, size in _members(field, path):
        digest, content = _read(file, size, name, keep=name == SUMS or wanted(name))
        if name == SUMS:
            stated = content
            continue
        if name in sums:
            raise ArchiveError(f"{path.name}: has {one_line(name)} twice")
        sums[name] = digest
        if wanted(name):
            kept[name] = content
    _check_sums(path, sums, stated)
    return kept


def _check_sums(path: Path, found: dict[str, str], stated: bytes) -> None:
    lines = [line.partition("  ") for line in stated.decode("utf-8", "replace").splitlines()]
    told = {name: digest for digest, _, name in lines}
    if not told:
        raise ArchiveError(f"{path.name}: has no {SUMS}, so nothing in it can be checked")
    for name in sorted(found.keys() ^ told.keys()):
        what = "is not in its sums" if name in found else "is missing"
        raise ArchiveError(f"{path.name}: {one_line(name)} {what}")
    for name, digest in found.items():
        if told[name] != digest:
            raise ArchiveError(f"{path.name}: the content of {one_line(name)} has changed")


def _members(field: str, path: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    """Name below the top folder, content and stated size of each file."""
    check_ending(path)
    if not path.is_file():
        raise ConfigError(field, one_line(str(path)), "is not there: name an archive that `store export` wrote")
    most = min(MOST_BYTES, path.stat().st_size * PACKED + SLACK)
    total, tops = 0, set[str]()
    with _in_words(path):
        for number, (name, file, size) in enumerate(_zip(path) if path.suffix == ".zip" else _tar(path)):
            total += size
            if number >= MOST_FILES or size > MOST_EACH or total > most:
                raise ArchiveError(f"{path.name}: holds more than an export does: it would fill the disk")
            top, _, rest = name.partition("/")
            if not rest or not NAME.fullmatch(name):
                raise ArchiveError(f"{path.name}: the path {one_line(name)[:200]} leaves its folder, or is no file's")
            tops.add(top)
            if len(tops) > 1:
                raise ArchiveError(f"{path.name}: has {len(tops)} folders at its top; an export has one")
            yield rest, file, size


def _tar(path: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    with tarfile.open(path, "r|gz") as archive:  # as a stream: nothing is read ahead of what is allowed
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            if file is None:
                raise ArchiveError(f"{path.name}: {one_line(member.name)[:200]} is a link, a folder or a device")
            yield member.name, file, member.size


def _zip(path: Path) -> Iterator[tuple[str, IO[bytes], int]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            kind = member.external_attr >> 28
            if member.is_dir() or kind not in (0, 8) or member.flag_bits & 1:
                raise ArchiveError(f"{path.name}: {one_line(member.filename)[:200]} is a link, a folder, or locked")
            with archive.open(member) as file:
                yield member.filename, file, member.file_size


def _read(file: IO[bytes], size: int, name: str, keep: bool) -> tuple[str, bytes]:
    """Digest and, if it is kept, content; never more than is stated."""
    digest, parts, left = hashlib.sha256(), list[bytes](), size
    while chunk := file.read(min(CHUNK, left + 1)):
        left -= len(chunk)
        if left < 0:
            raise ArchiveError(f"{one_line(name)} is longer than it says")
        digest.update(chunk)
        if keep:
            parts.append(chunk)
    if left:
        raise ArchiveError(f"{one_line(name)} is cut")
    return digest.hexdigest(), b"".join(parts)


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,
        NotImplementedError,
    ) as error:
        raise ArchiveError(f"{path.name}: is no archive, or a damaged one ({one_line(str(error))[:200]})") from error
