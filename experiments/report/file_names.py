"""What the files of a report are called: a name that a file system, a shell, TeX and Markdown all take as it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence

from configs.errors import require

LONGEST = 100
"""Characters of a name; files are called by it with an ending, the log also with the time."""

NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._+-]{{0,{LONGEST - 1}}}")
UNUSUAL = re.compile(r"[^A-Za-z0-9._+-]|^[^A-Za-z0-9]")
"""What no name has."""


def stem(given: str | None, experiments: Sequence[str], otherwise: str) -> str:
    """Stem of the files of a report.

    Args:
        given: with ``--name``; None takes the experiments' names.
        experiments: that were asked for; one in a folder is called FOLDER_NAME.
        otherwise: where there is no experiment.

    Raises:
        ConfigError: it is not a name for a file.
    """
    name = given if given is not None else "+".join(e.replace("/", "_") for e in experiments) or otherwise
    require_name("--name", name, "" if given is not None else " (this is what it is without --name)")
    return name


def require_name(field: str, name: str, more: str = "") -> None:
    """Raise `ConfigError` unless files can be called so: no folder, no markup, nothing that cannot be seen."""
    reason = (
        "is not a name for files: write letters and digits of ASCII, '.', '_', '+' and '-', beginning with a letter or a "
        f"digit, at most {LONGEST}{more}"
    )
    require(NAME.fullmatch(name) is not None, field, name, reason)
