"""Which packages a configuration may name classes of: importing a module runs it, and a YAML file may be somebody else's.

Trusted are the project's own packages, packages that were installed with an entry point for this project, and those that the
user names on the command line (``hydra.searchpath=[pkg://mine.configs]``).
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from configs.errors import ConfigError

OWN = ("attacks", "configs", "defenses", "experiments", "lm", "student", "tasks", "teacher")
ENTRY_POINTS = "moatbench"
"""Group of entry points; their values name packages: ``mine = "mine"`` under ``[project.entry-points.moatbench]``."""

_named: set[str] = set()


def trust(package: str) -> None:
    """Let configurations of this process name classes of a package, and of all below its first name."""
    _named.add(package.partition(".")[0])


def trusted() -> tuple[str, ...]:
    """First names of all packages that may be imported, sorted."""
    return tuple(sorted({*OWN, *_installed(), *_named}))


def require_trusted(target: str, field: str) -> None:
    """Refuse a dotted name outside the trusted packages; imports nothing.

    Raises:
        ConfigError: what may be named, and how to name a package.
    """
    if target.partition(".")[0] not in trusted():
        reason = "is of a package that is not imported: name it with hydra.searchpath=[pkg://PACKAGE.configs]"
        raise ConfigError(field, target, reason, trusted())


@cache
def _installed() -> frozenset[str]:
    return frozenset(point.module.partition(".")[0] for point in entry_points(group=ENTRY_POINTS))
