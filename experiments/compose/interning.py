"""What the cells of a sweep have in common, as one object each: a part is built once, a stage hashed once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from configs.build import build, describe

T = TypeVar("T")


class Interning:
    """Parts and stages by what they are made of. One for a sweep."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str], Any] = {}
        self._described: dict[str, Any] = {}
        self._joined: dict[tuple[Any, ...], Any] = {}

    def part(self, node: Any, base: type[T], field: str) -> T:
        """As `configs.build.build`. A part is frozen, so that cells can have it in common."""
        key = (field, repr(node))  # unlike JSON, it tells 1 from True and keeps the kinds of keys
        if key not in self._parts:
            self._parts[key] = build(node, base, field)
        return cast("T", self._parts[key])

    def described(self, node: Any) -> Any:
        """As `configs.build.describe`."""
        key = repr(node)
        if key not in self._described:
            self._described[key] = describe(node)
        return self._described[key]

    def one(self, made: T) -> T:
        """The first object of this class that was made of the same things as ``made``: stages, say.

        Fields are compared as the very objects they are, which is why parts and inner stages have to be shared first; fields
        that are plain values, and mappings of any, by value.
        """
        content = tuple(_identity(getattr(made, f.name)) for f in dataclasses.fields(cast("Any", made)))
        return cast("T", self._joined.setdefault((type(made), *content), made))


def _identity(value: Any) -> Any:
    """Distinguishes values while they live; an object that is kept keeps its fields alive, so no id is used twice."""
    if value is None or isinstance(value, (int, float, str)):
        return type(value), value
    if isinstance(value, Mapping):
        return tuple((name, _identity(item)) for name, item in value.items())
    return id(value)
