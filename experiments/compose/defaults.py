"""Configurations from defaults lists of the usual kind, a hundred times faster than ``hydra.compose``, and equal to it.

Hydra takes a fifth of a second for each configuration, much of it for its own settings, which are thrown away. Nearly all
files need little of its grammar: they choose from groups, relative or absolute, with or without a package
(``/defense@detectors: [linker]``), and say where they stand themselves (``_self_``). Such a choice changes one part of the
configuration, and its files are merged once for all cells that have it. Whatever else a file does (``override``,
``optional``, a package of its own in its header, ``${...}``), and every mistake, is left to Hydra: `NotPlainError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from experiments.compose.config_files import ConfigFiles

SELF = "_self_"
DEEPEST = 8
"""Files that choose each other; a circle is Hydra's to complain of."""

_GROUP = re.compile(r"(?P<root>/?)(?P<group>\w[\w-]*(?:/\w[\w-]*)*)(?:@(?P<package>[a-zA-Z]\w*(?:\.\w+)*|_here_))?")
_NAME = re.compile(r"(?!_self_$)\w[\w.+-]*(?:/\w[\w.+-]*)*")


class NotPlainError(Exception):
    """Something that only Hydra can compose, or refuse."""


class Listed(NamedTuple):
    """A file in the order in which they are merged.

    Args:
        path: of the file, without ``.yaml``.
        package: the part of the configuration that it becomes, dotted; "" where it is the whole.
    """

    path: str
    package: str


class Defaults:
    """Configurations of one search path, put together from parts that are merged once.

    Args:
        files: of the search path.
    """

    def __init__(self, files: ConfigFiles) -> None:
        self._files = files
        self._contents: dict[str, tuple[dict[str, Any], list[Any]]] = {}
        self._parts: dict[tuple[str, tuple[Listed, ...]], Any] = {}

    def config(self, name: str, choices: Sequence[Override]) -> dict[str, Any]:
        """The configuration of a choice of groups in plain containers, parts of which are shared and not to be changed.

        Raises:
            NotPlainError: it is for Hydra to compose.
        """
        by_part: dict[str, list[Listed]] = {}
        for one in _List(self, choices).of(name):
            for part in [one.package.partition(".")[0]] if one.package else self.content(one.path)[0]:
                by_part.setdefault(part, []).append(one)
        return {part: self._part(part, tuple(listed)) for part, listed in by_part.items()}

    def content(self, path: str) -> tuple[dict[str, Any], list[Any]]:
        """What a file says, and its defaults list."""
        _require(not self._files.is_class(path))  # asked every time: a class may be made known later
        if path not in self._contents:
            self._contents[path] = self._read(path)
        return self._contents[path]

    def _read(self, path: str) -> tuple[dict[str, Any], list[Any]]:
        found = self._files.read(path)
        _require(found is not None and OmegaConf.is_dict(found.config))
        assert found is not None
        _require(set(found.header) == {"package"} and found.header["package"] is None)
        plain = OmegaConf.to_container(found.config)
        assert isinstance(plain, dict)
        defaults = plain.pop("defaults", [])
        _require(isinstance(defaults, list) and all(isinstance(key, str) for key in plain) and "hydra" not in plain)
        _require("${" not in repr((plain, defaults)))
        return {str(key): value for key, value in plain.items()}, defaults

    def _part(self, part: str, listed: tuple[Listed, ...]) -> Any:
        if (part, listed) not in self._parts:
            said = [_embedded(part, one, self.content(one.path)[0]) for one in listed]
            merged = OmegaConf.to_container(OmegaConf.merge(*map(OmegaConf.create, said)))
            assert isinstance(merged, dict)
            self._parts[part, listed] = merged[part]
        return self._parts[part, listed]


class _List:
    """The files of one configuration in order."""

    def __init__(self, defaults: Defaults, choices: Sequence[Override]) -> None:
        self._defaults = defaults
        self._chosen: dict[str, Any] = {}
        self._added: list[dict[str, Any]] = []
        self._seen: set[str] = set()
        for choice in choices:
            _require(not (choice.is_delete() or choice.is_force_add() or choice.is_sweep_override()))
            key = choice.key_or_group if choice.package is None else f"{choice.key_or_group}@{choice.package}"
            if choice.is_add():
                self._added.append({key: choice.value()})
            else:
                self._chosen[key] = choice.value()

    def of(self, name: str) -> list[Listed]:
        own = self._defaults.content(name)[1]
        _require("/" not in name and own.count(SELF) == 1)
        listed = list(self._entries([*own, *self._added], Listed(name, ""), "", 0))
        _require(self._chosen.keys() <= self._seen)
        return listed

    def _file(self, path: str, package: str, group: str, depth: int) -> Iterator[Listed]:
        _require(depth < DEEPEST)
        own = self._defaults.content(path)[1]
        _require(own.count(SELF) <= 1)
        entries = own if SELF in own else [*own, SELF]
        yield from self._entries(entries, Listed(path, package), group, depth + 1)

    def _entries(self, entries: Sequence[Any], of: Listed, group: str, depth: int) -> Iterator[Listed]:
        for entry in entries:
            if entry == SELF:
                yield of
            elif isinstance(entry, str):
                yield from self._file(_below(group, _plain_name(entry)), of.package, group, depth)
            else:
                _require(isinstance(entry, dict) and len(entry) == 1)
                ((key, value),) = entry.items()
                yield from self._choice(key, value, of, group, depth)

    def _choice(self, key: Any, value: Any, of: Listed, group: str, depth: int) -> Iterator[Listed]:
        """The files of ``GROUP@PACKAGE: NAME`` or ``[NAME, ...]``; another choice of the user's comes in its place."""
        found = _GROUP.fullmatch(key) if isinstance(key, str) else None
        _require(found is not None)
        assert found is not None
        path = found["group"] if found["root"] else _below(group, found["group"])
        own = found["package"] or found["group"].replace("/", ".")
        package = of.package if own == "_here_" else ".".join(filter(None, (of.package, own)))
        called = path if package == path.replace("/", ".") else f"{path}@{package}"
        _require(bool(package) and called not in self._seen)
        self._seen.add(called)
        value = self._chosen.get(called, value)
        if isinstance(value, list):
            for name in map(_plain_name, value):
                yield from self._file(f"{path}/{name}", package, path, depth)
        elif value is not None:
            _require(isinstance(value, str) and _NAME.fullmatch(value) is not None)
            yield from self._file(f"{path}/{value}", package, path, depth)


def _embedded(part: str, one: Listed, content: dict[str, Any]) -> dict[str, Any]:
    """What a file says of a part, where it stands in the whole."""
    if not one.package:
        return {part: content[part]}
    for name in reversed(one.package.split(".")):
        content = {name: content}
    return content


def _plain_name(name: Any) -> str:
    _require(isinstance(name, str) and _NAME.fullmatch(name) is not None and "/" not in name)
    return str(name)


def _below(group: str, name: str) -> str:
    return f"{group}/{name}" if group else name


def _require(plain: bool) -> None:
    if not plain:
        raise NotPlainError
