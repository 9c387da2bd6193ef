"""Where libraries may write when the user's home cannot be written to, as in a container or a batch job.

matplotlib then warns at each start, `datasets` fails, and numba (`lm.compiled`) raises at import. They are given a folder
among the temporary files that belongs to this user alone.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def private_folder() -> Path | None:
    """A folder among the temporary files that this user alone can read and write; None where there can be none.

    Whoever can write to it decides what runs here, since numba loads compiled code from it. So a folder that somebody else
    has put in its place, or a link, is not taken.
    """
    try:
        folder = Path(tempfile.gettempdir()) / f"moatbench-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return folder if ours and writable(folder) else None


def writable(folder: Path) -> bool:
    """Whether files can be written to this folder, which may have to be made first."""
    try:
        nearest = next(place for place in (folder, *folder.parents) if place.exists() or place.is_symlink())
    except (OSError, StopIteration):
        return False
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def provide() -> None:
    """Name a place to each library that has none, by its own environment variable; those that are set stay.

    Models in a Hugging Face cache that can be read but not written are still found.
    """
    home = Path(os.path.expanduser("~"))
    hub = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "huggingface"
    hub = Path(os.environ.get("HF_HOME") or hub)
    places = {"MPLCONFIGDIR": Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "matplotlib"}
    if hub.exists():
        places |= {"HF_DATASETS_CACHE": hub / "datasets", "HF_MODULES_CACHE": hub / "modules"}
    else:
        places["HF_HOME"] = hub
    for variable, usual in places.items():
        if variable not in os.environ and not writable(usual) and (own := private_folder()) is not None:
            (own / variable.lower()).mkdir(exist_ok=True)
            os.environ[variable] = str(own / variable.lower())
