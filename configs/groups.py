"""Parts of a configuration that are chosen from a group, and names of the choices that this project ships."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from configs.errors import ConfigError


def chosen(plain: Mapping[str, Any], group: str) -> Mapping[str, Any]:
    """The part ``plain[NAME]`` for the group ``NAME`` or ``PARENT/NAME``.

    Raises:
        ConfigError: it is not there, null, or no mapping.
    """
    part = plain.get(group.rpartition("/")[2])
    if not isinstance(part, Mapping):
        raise ConfigError(group.replace("/", "."), part, "must be chosen", choices(group))
    return part


def choices(group: str) -> list[str]:
    """Names of the YAML files of a group, sorted; [] for what is no group."""
    folder = resources.files("configs").joinpath(*group.split("/"))
    if not folder.is_dir():
        return []
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))
