"""Archives whose bytes depend on nothing but what is in them: no times, owners, or order of a file system."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from configs.errors import ConfigError
from experiments.store.layout import draft

ENDINGS = (".tar.gz", ".zip")
SUMS = "SHA256SUMS"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip file can say."""

Content = bytes | Path
"""Of a file: itself, or where to copy it from."""


def check_ending(path: Path) -> None:
    """Raise `ConfigError` where a path does not say which kind of archive it is."""
    if not path.name.endswith(ENDINGS):
        raise ConfigError("PATH", str(path), "must end in " + " or ".join(ENDINGS))


def write_archive(path: Path, top: str, files: Mapping[str, Content]) -> None:
    """Write files with their SHA-256 sums as an archive, whole or not at all, in place of an earlier one.

    Args:
        path: ends in .tar.gz or .zip.
        top: folder in the archive that holds them.
        files: by path below ``top``.
    """
    check_ending(path)
    sums = "".join(f"{_sha256(files[name])}  {name}\n" for name in sorted(files))
    whole = {f"{top}/{name}": content for name, content in sorted({**files, SUMS: sums.encode()}.items())}
    path.parent.mkdir(parents=True, exist_ok=True)
    made = draft(path.parent, "archive")
    try:
        (_zip if path.name.endswith(".zip") else _tar)(made, whole)
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)


def _tar(path: Path, files: Mapping[str, Content]) -> None:
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in files.items():
            about = tarfile.TarInfo(name)  # no owner, no time
            about.size = _size(content)
            with _opened(content) as file:
                archive.addfile(about, file)


def _zip(path: Path, files: Mapping[str, Content]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            about = zipfile.ZipInfo(name, EPOCH)
            about.compress_type, about.create_system, about.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            about.file_size = _size(content)
            with _opened(content) as file, archive.open(about, "w") as packed:
                shutil.copyfileobj(file, packed)


def _opened(content: Content) -> io.BufferedIOBase:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def _size(content: Content) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _sha256(content: Content) -> str:
    with _opened(content) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
