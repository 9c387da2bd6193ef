"""``drop:0.05`` in place of a defense's strength: the strength that costs honest users 5 points. Knows no cell, no store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from configs.errors import ConfigError, require

MARK = "drop:"
"""Begins a value that is to be calibrated."""


class Asked(NamedTuple):
    """A strength that a configuration leaves to calibration.

    Args:
        defense: its name in the stack.
        field: that has the value.
        drop: of honest accuracy that it should cost, a share.
    """

    defense: str
    field: str
    drop: float

    @property
    def place(self) -> str:
        """The field as a user writes it."""
        return f"defense.{self.defense}.{self.field}"


def target(value: object, field: str) -> float:
    """A drop as a share.

    Raises:
        ConfigError: it is none.
    """
    reason = "must be a share between 0 and 1: 0.05 is a drop of five points"
    try:
        drop = float(str(value))
    except ValueError as error:
        raise ConfigError(field, value, reason) from error
    require(0 < drop < 1, field, value, reason)
    return drop


def asked_of(plain: Mapping[str, Any]) -> Asked | None:
    """What a resolved configuration leaves to calibration, if anything.

    Raises:
        ConfigError: more than one strength of a stack, or a drop that is none.
    """
    stack = plain.get("defense")
    found = [
        Asked(str(name), str(field), target(value.removeprefix(MARK), f"defense.{name}.{field}"))
        for name, part in (stack.items() if isinstance(stack, Mapping) else ())
        for field, value in (part.items() if isinstance(part, Mapping) else ())
        if isinstance(value, str) and value.startswith(MARK)
    ]
    if len(found) > 1:
        raise ConfigError(found[1].place, f"{MARK}{found[1].drop:g}", "only one strength of a stack can be calibrated")
    return found[0] if found else None


def with_value(plain: Mapping[str, Any], defense: str, field: str, value: object) -> dict[str, Any]:
    """The configuration with another value of one field of a defense."""
    stack = dict(plain["defense"])
    stack[defense] = {**stack[defense], field: value}
    return {**plain, "defense": stack}


def refuse_asked(plain: Mapping[str, Any]) -> None:
    """Raise `ConfigError` where a strength is left to calibration: a cell needs the number."""
    asked = asked_of(plain)
    if asked is not None:
        reason = "is not a number yet: moatbench calibrate finds it, and so do run and sweep"
        raise ConfigError(asked.place, f"{MARK}{asked.drop:g}", reason)
