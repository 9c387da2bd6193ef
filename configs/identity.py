"""What of a part enters the keys of stored results: its stable name, its version and its fields, and never the module path.

A file may be moved and a class renamed without losing a result; a method that is mended raises its version, and everything
that it influenced is made again. Knows nothing of YAML (`configs.build` does) or of stores.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Final

from configs.errors import ConfigError


class Part:
    """Base of every kind of part that a YAML can put in another's place: defenses, harvests, models, ….

    Class attributes:
        kind: which kind it is; set by the base class of the kind.
        name: stable and unique within the kind. It stays what it is when the class is renamed or its file is moved.
        version: a whole number, raised by every change after which the same fields give other results.
        places: fields that say where something is read from, whose `content` is then in the identity in their place.

    A class says both itself: a subclass computes something else than its parent, and is not to be taken for it. Where a
    parent has a name and a version too, these are part of the identity, since its code is.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    version: ClassVar[int]
    places: ClassVar[tuple[str, ...]] = ()

    def content(self) -> str:
        """Hash of whatever the part reads from files that its fields name, "" where it reads none: part of the identity,
        so that a file which is overwritten is not taken for what it was, and one that is moved or copied is."""
        return ""


ADDED: Final = "added"
"""Marks the metadata of a field that `added` made."""


def added(default: Any, *, kw_only: bool = False) -> Any:
    """A dataclass field that came after results had been stored, and that changes nothing at its default.

    At the default it is in no identity, so that what was made before the field was there is found as before. A default that
    would give other results than no field did wants a new `Part.version` instead.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Recipe:
    ...     steps: int = 3
    ...     warmup: int = added(0)
    >>> identity(Recipe()), identity(Recipe(warmup=2))
    ({'steps': 3}, {'steps': 3, 'warmup': 2})
    """
    return dataclasses.field(default=default, metadata={ADDED: True}, kw_only=kw_only)


def identity(value: Any) -> Any:
    """JSON-able identity of a part, or of a plain value that parts are made of.

    A `Part` becomes its name, its version, the versions of its parents, the content of files that it reads, and its fields,
    without those that only say where these files are. A plain dataclass (a budget, prices, a recipe) is its fields; those of
    `added` only where they say something. One that is derived from another dataclass may compute something else and can
    stand in the other's place, so it says a name and a version as parts do.

    Raises:
        ConfigError: a class that has to say its name and its version, and does not.
        TypeError: a value that JSON cannot hold.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        told = (
            f for f in dataclasses.fields(value) if not (f.metadata.get(ADDED) and getattr(value, f.name) == f.default)
        )
        found = value.content() if isinstance(value, Part) else ""
        left_out = value.places if isinstance(value, Part) and found else ()
        fields = {f.name: identity(getattr(value, f.name)) for f in told if f.name not in left_out}
        if not _is_named(type(value)):
            return fields
        return {**named(type(value)), **({"content": found} if found else {}), "fields": fields}
    if isinstance(value, Mapping):
        return {str(k): identity(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [identity(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{value!r} cannot be part of a configuration")


def named(kind: type[object], field: str = "_target_") -> dict[str, Any]:
    """Name and version of a class, and those of the classes that it is derived from and that have some.

    Raises:
        ConfigError: it does not say them itself; tells what to add. ``field`` is what the message calls it.
    """
    own = vars(kind)
    for attribute, wanted, example in (("name", str, "'my_method'"), ("version", int, "1")):
        if type(own.get(attribute)) is not wanted:
            label, hint = (
                f"{kind.__module__}.{kind.__qualname__}",
                f"{attribute}: ClassVar[{wanted.__name__}] = {example}",
            )
            reason = f"has no {attribute} of its own, by which stored results are known: add `{hint}` to the class"
            raise ConfigError(field, label, reason)
    bases = [vars(base) for base in kind.__mro__[1:]]
    inherited = {base["name"]: base["version"] for base in bases if type(base.get("version")) is int}
    return {"name": own["name"], "version": own["version"], **({"bases": inherited} if inherited else {})}


@lru_cache(maxsize=4096)
def _is_named(kind: type[object]) -> bool:
    """Whether it has to say a name and a version: parts do, and what can stand in the place of a plain dataclass."""
    return issubclass(kind, Part) or any(dataclasses.is_dataclass(base) for base in kind.__mro__[1:])


def parts_in(value: Any, beyond: type[object] | tuple[()] = ()) -> Iterator[Part]:
    """The parts that a value holds, itself included, at any depth; objects of the class ``beyond`` are not looked into."""
    if isinstance(value, beyond):
        return
    if isinstance(value, Part):
        yield value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        held: Iterable[Any] = [getattr(value, f.name) for f in dataclasses.fields(value)]
    elif isinstance(value, Mapping):
        held = value.values()
    else:
        held = value if isinstance(value, (list, tuple)) else ()
    for one in held:
        yield from parts_in(one, beyond)
