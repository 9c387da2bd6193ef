"""From a YAML node to a validated object, and back: the one boundary at which configuration is checked.

Every pluggable part is a frozen dataclass. Its YAML gives ``_target_`` and its fields; nothing is registered anywhere.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
import types
import typing
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from configs.errors import ConfigError
from configs.identity import Part, named
from configs.ranges import MAY_BE_INFINITE, check_number
from configs.trust import OWN, require_trusted

T = TypeVar("T")


def build(node: Any, base: type[T], field: str) -> T:
    """The object that a config node describes.

    Args:
        node: a mapping with ``_target_`` (dotted name of a dataclass derived from ``base``) and that dataclass's fields.
        base: what it has to be.
        field: dotted name of the node, for messages.

    Raises:
        ConfigError: no ``_target_``, a class that cannot be imported, is not to be trusted or is of another kind, an unknown
            field, a value of the wrong type, or one that the dataclass's own ``__post_init__`` refuses.
    """
    plain = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    if not isinstance(plain, Mapping):
        raise ConfigError(field, plain, "must be a mapping, with a _target_ that names a class and its fields")
    plain = {str(k): v for k, v in plain.items()}
    kind = class_of(plain, base, field)
    return from_mapping(kind, {name: value for name, value in plain.items() if name != "_target_"}, field)


def class_of(node: Mapping[str, Any], base: type[T], field: str) -> type[T]:
    """The class that a node's ``_target_`` names, whatever its fields are; raises `ConfigError` as `build` does."""
    target = node.get("_target_")
    if not isinstance(target, str):
        raise ConfigError(field, node, "has no _target_ that names a class")
    require_trusted(target, f"{field}._target_")
    try:
        module, _, name = target.rpartition(".")
        kind = getattr(importlib.import_module(module), name)
    except Exception as error:
        raise ConfigError(f"{field}._target_", target, f"cannot be imported ({_first_line(error)})") from error
    if not (isinstance(kind, type) and issubclass(kind, base) and dataclasses.is_dataclass(kind)):
        raise ConfigError(f"{field}._target_", target, f"is not a {base.__name__}")
    if issubclass(kind, Part):
        named(kind, f"{field}._target_")
    return typing.cast("type[T]", kind)


@functools.lru_cache(maxsize=1024)
def _hints(kind: Hashable) -> Mapping[str, Any]:
    """The types of a class's fields, annotations read once: reading them takes longer than building the object."""
    return types.MappingProxyType(typing.get_type_hints(kind, include_extras=True))


def from_mapping(kind: type[T], values: Mapping[str, Any] | None, field: str) -> T:
    """Build the dataclass ``kind`` from ``values``; fields that are dataclasses or parts with a ``_target_`` are built
    in turn. Raises `ConfigError` as `build` does."""
    if not isinstance(values, Mapping):
        raise ConfigError(field, values, "must be a mapping of fields")
    declared = {f.name: f for f in dataclasses.fields(kind) if f.init}  # type: ignore[arg-type]
    for name in values:
        if name not in declared:
            raise ConfigError(f"{field}.{name}", values[name], "is not a field here", declared, meant=name)
    hints = _hints(typing.cast("Hashable", kind))
    arguments = {name: converted(hints[name], value, f"{field}.{name}") for name, value in values.items()}
    try:
        return kind(**arguments)
    except ConfigError as error:
        if error.field.startswith(field):
            raise
        own = error.field if error.field.split(".")[0] in declared else error.field.rsplit(".", 1)[-1]
        raise ConfigError(f"{field}.{own}", error.value, error.reason, error.choices) from error
    except TypeError as error:
        missing = [n for n, f in declared.items() if n not in values and _required(f)]
        raise ConfigError(field, dict(values), f"lacks {', '.join(missing)}" if missing else str(error)) from error


def named_parts(values: Any, field: str) -> dict[str, Any]:
    """Parts by name, as a stack of defenses is written; nothing (null) is none of them.

    Raises:
        ConfigError: no mapping, or a part that is not nested under a name of its own.
    """
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ConfigError(field, values, "must be a mapping of names to parts")
    if "_target_" in values:
        reason = "must be nested under a name of its own: NAME: {_target_: ...}"
        raise ConfigError(f"{field}._target_", values["_target_"], reason)
    return {str(name): part for name, part in values.items()}


def describe(part: Any) -> Any:
    """JSON-able description of a built object, its class included, from which `build` makes it again: what is kept with
    results. Keys hold its `configs.identity.identity` instead."""
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        kind = type(part)
        fields = {f.name: describe(getattr(part, f.name)) for f in dataclasses.fields(part)}
        return {"_target_": f"{kind.__module__}.{kind.__qualname__}", **fields}
    if isinstance(part, Mapping):
        return {str(k): describe(v) for k, v in part.items()}
    if isinstance(part, (list, tuple)):
        return [describe(v) for v in part]
    if isinstance(part, float) and not math.isfinite(part):
        return str(part)
    if part is None or isinstance(part, (bool, int, float, str)):
        return part
    raise TypeError(f"{part!r} cannot be part of a configuration")


def by_class(described: Any) -> Any:
    """A description by which stored results are compared: of this project's classes it has the name and not the module, so
    that it is the same wherever a file lay when they were stored. Others keep their path: their names may repeat ours."""
    if isinstance(described, Mapping):
        return {k: _class_name(v) if k == "_target_" else by_class(v) for k, v in described.items()}
    return [by_class(v) for v in described] if isinstance(described, (list, tuple)) else described


RENAMED = {"Exchange": "SharingTerms"}
"""Classes that stored descriptions call by an older name."""


def _class_name(target: Any) -> str:
    module, _, name = str(target).rpartition(".")
    return RENAMED.get(name, name) if module.partition(".")[0] in OWN else str(target)


def converted(hint: Any, value: Any, field: str) -> Any:
    """``value`` as the type that a field declares; raises `ConfigError` as `build` does."""
    infinite = typing.get_origin(hint) is typing.Annotated and MAY_BE_INFINITE in hint.__metadata__
    hint = typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint
    if value is None and type(None) in typing.get_args(hint):
        return None
    if isinstance(value, Mapping) and (inner := _present(hint)) is not None:
        hint = inner
    if isinstance(value, Mapping) and "_target_" in value and isinstance(hint, type):
        return build(value, hint, field)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_mapping(typing.cast("type[Any]", hint), {str(k): v for k, v in value.items()}, field)
    origin = typing.get_origin(hint)
    if origin in (tuple, list) and isinstance(value, (list, tuple)):
        return tuple(_entries(typing.get_args(hint), value, field))
    if (origin in (dict, Mapping) or hint in (dict, Mapping)) and isinstance(value, Mapping):
        inner = typing.get_args(hint)[1] if typing.get_args(hint) else Any
        return {k: converted(inner, v, f"{field}.{k}") for k, v in named_parts(value, field).items()}
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            raise ConfigError(field, value, "is not allowed", [str(a) for a in typing.get_args(hint)])
        return value
    check_number(value, field, infinite)
    made = _scalar(hint, value, field)
    check_number(made, field, infinite)  # "inf" as text becomes a number only here
    return made


def _entries(hints: Sequence[Any], values: Sequence[Any], field: str) -> Iterator[Any]:
    """Entries of a list, all of one type (``tuple[X, ...]``) or as many as there are types (``tuple[X, Y]``)."""
    kinds = [h for h in hints if h is not Ellipsis] or [Any]
    fixed = bool(hints) and Ellipsis not in hints and len(kinds) > 1
    if fixed and len(values) != len(kinds):
        raise ConfigError(field, list(values), f"must be a list of {len(kinds)}")
    for at, value in enumerate(values):
        yield converted(kinds[at] if fixed else kinds[0], value, f"{field}[{at}]")


def _present(hint: Any) -> Any:
    """The one dataclass, or kind of part, of ``X | None``; None for any other hint."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return None
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    if len(kinds) != 1 or not isinstance(kinds[0], type):
        return None
    return kinds[0] if dataclasses.is_dataclass(kinds[0]) or issubclass(kinds[0], Part) else None


def _scalar(hint: Any, value: Any, field: str) -> Any:
    """Convert as OmegaConf's structured configs do ("3" to 3, 1 to 1.0), refuse what does not convert."""
    if hint is Any or hint is object:
        return value
    if isinstance(hint, type) and isinstance(value, hint) and not (hint in (int, float) and isinstance(value, bool)):
        return value
    if hint is bool and isinstance(value, int) and value not in (0, 1):
        raise ConfigError(field, value, "is not a valid bool")
    try:
        schema = OmegaConf.structured(_holder(hint)(value))
    except OmegaConfBaseException as error:
        name = getattr(hint, "__name__", str(hint))
        raise ConfigError(field, value, f"is not a valid {name}") from error
    return schema.value


@functools.lru_cache(maxsize=256)
def _holder(hint: Any) -> Any:
    """A dataclass with one field of this type; making one takes longer than all the rest."""
    return dataclasses.make_dataclass("Holder", [("value", hint)])


def _required(f: dataclasses.Field[Any]) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _first_line(error: Exception) -> str:
    return str(error.__cause__ or error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
