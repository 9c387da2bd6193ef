"""Takes out of what is given away where it was made: paths of this machine, and the names of homes in them.

A path is cut to ``LOCAL/`` and its last part, which says what a file was; and to ``LOCAL`` where the last part may be
somebody's name.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

LOCAL = "LOCAL"

HOMES = {"home", "homes", "users", "user", "documents and settings"}
"""Folders whose folders are called by people."""

ROOTS = "root|home|Users|tmp|var|mnt|media|srv|opt|data|scratch|work|private|usr|etc"
"""Folders at the top that are taken for a path even alone; of other words after a slash nobody knows."""

PART = r"(?:[\w.+@%=~-]|\\_)+"
"""A part of a path; also with the underscores of TeX and Markdown."""

FIRST = PART.replace("=", "")
"""A part of a relative path: what stands before an equals sign is none of it."""

PATH = re.compile(
    rf"""
    (?P<url>\b(?!file:)[A-Za-z][\w+.-]*://[^\s"'<>,\])]*)         # an address elsewhere
    | (?:\bfile:(?://(?:[\w.-]+(?=/))?)?|(?<![\w.+@%~\\/<-])|(?<=\\[nrt]))(?:
        /?(?P<drive>[A-Za-z]:(?:\\+|/(?!/))[^\s"'<>|*?,;)\]}}]*)      # C:\\Users\\alice
      | (?P<absolute>(?:/{PART}){{2,}}/?|/(?:{ROOTS})/?(?!\.?[\w+@%=~/-]))
      | (?P<home>~[\w.-]*(?:/{PART})+/?)
      | (?P<climbing>(?:{FIRST}/)*?\.\.(?:/{PART})+/?)              # ../../home/alice
      | (?P<within>(?:{FIRST}/)+?(?:home|homes|Users)(?:/{PART})+/?)
    )""",
    re.VERBOSE,
)

START = re.compile(r"(?:file:(?://)?)?(?:/|~[\w.-]*/|\.\./|[A-Za-z]:[\\/](?!/)|\\\\)")
"""How a text begins that is a path as a whole, spaces and all."""


def without_paths(text: str) -> str:
    """The text with paths of this machine cut, wherever they stand in it; addresses of the web are none."""
    return PATH.sub(_cut, text)


def without_paths_in(value: Any) -> Any:
    """Plain containers with every text in them, and every key, as `without_paths` gives it; a text that is one path is
    taken as a whole."""
    if isinstance(value, Mapping):
        return {without_paths(str(key)): without_paths_in(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_paths_in(part) for part in value]
    if not isinstance(value, str):
        return value
    if " " in value and START.match(value) and not re.search(r"\s/|[\n,;\"']", value):
        parts = re.split(r"[\\/]+", value)
        return _last(["~", *parts] if value.startswith("~") else parts)
    return without_paths(value)


def _cut(found: re.Match[str]) -> str:
    if found["url"] is not None:
        return found[0]
    text = found["drive"] or found["absolute"] or found["climbing"] or found["within"]
    if text is None:  # what follows a home is not somebody's name
        return _last(["~", "~", *found["home"].split("/")[1:]])
    return _last(re.split(r"/+|\\+(?!_)", text))


def _last(parts: list[str]) -> str:
    """`LOCAL` and the last part, unless that may be a name: at the top of a disk, in a folder of homes, of this user."""
    climbs = ".." in parts
    named = [part for part in parts if part.strip(".")]
    is_name = not named or named[-1] in _people() or (len(named) > 1 and named[-2].lower() in HOMES)
    if is_name or (len(named) < 3 and not climbs):
        return LOCAL
    return f"{LOCAL}/{named[-1]}"


@lru_cache(maxsize=1)
def _people() -> frozenset[str]:
    """Names of who exports."""
    try:
        return frozenset({getpass.getuser(), Path.home().name})
    except (OSError, KeyError, RuntimeError):
        return frozenset()
