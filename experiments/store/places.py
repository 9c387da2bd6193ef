"""Folders that a user names: whether they can be what they should be, found out before any work is done."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from configs.errors import ConfigError, require
from experiments.store.disk import FULL
from experiments.store.layout import draft

LONGEST = 255
"""Bytes of a name, on the file systems in use."""


def folder(field: str, name: str | Path) -> Path:
    """The absolute path of a folder that is there or could be made; links are followed, ``~`` is a home.

    Args:
        field: that named it, for the message.
        name: as given.

    Raises:
        ConfigError: it, or something above it, is a file; links lead round in a circle; the name is too long or has
            characters that no name has; nobody has that home.
    """
    try:
        path = Path(name).expanduser().resolve()
        for place in (path, *path.parents):
            try:
                kind = place.stat().st_mode
            except FileNotFoundError:
                _fits(place)
                continue
            except NotADirectoryError:
                continue
            if not stat.S_ISDIR(kind):
                what = "is a file" if place == path else f"is below {str(place)!r}, which is a file"
                raise ConfigError(field, str(name), f"{what}; name a folder with {field}=PATH")
            return path
    except OSError as error:
        raise ConfigError(field, str(name), f"cannot be a folder ({error.strerror}); name another") from error
    except (RuntimeError, ValueError) as error:  # a loop or a home that is not there; a NUL
        raise ConfigError(
            field, str(name), f"cannot be a folder ({str(error).splitlines()[0]}); name another"
        ) from error
    return path


def writable(field: str, path: Path) -> None:
    """Make a folder if need be, and see that files can be made in it; a disk without room is no mistake of the name.

    Raises:
        ConfigError: they cannot.
    """
    probe = draft(path, "probe")
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        if error.errno not in FULL:
            reason = f"cannot be written to ({error.strerror}); name another folder"
            raise ConfigError(field, str(path), reason) from error


@contextmanager
def somewhere(path: Path) -> Iterator[Path]:
    """The folder, or a temporary one where it cannot be written to: what was found out can be shown all the same."""
    try:
        writable("", path)
    except ConfigError:
        with TemporaryDirectory(prefix="moatbench-") as instead:
            yield Path(instead)
    else:
        yield path


def new_file(field: str, name: str) -> Path:
    """The absolute path of a file that can be made or replaced; its folder is made if need be.

    Raises:
        ConfigError: as `folder` and `writable`, or it is a folder itself.
    """
    given = Path(name)
    path = folder(field, given.parent) / given.name
    try:
        _fits(path)
        is_folder = path.is_dir()
    except (OSError, ValueError) as error:
        reason = f"cannot be a file ({getattr(error, 'strerror', None) or error}); name another"
        raise ConfigError(field, name, reason) from error
    require(not is_folder, field, name, "is a folder: name the file that is to be made")
    writable(field, path.parent)
    return path


def _fits(path: Path) -> None:
    """A name that is not there yet may be too long to be made: some file systems say so only then."""
    if len(os.fsencode(path.name)) > LONGEST:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(path))
