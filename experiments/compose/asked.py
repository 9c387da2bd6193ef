"""``drop:0.05`` in place of a defense's strength: the strength that costs honest users 5 points; ``l1:0.5``: the one at
which sold probabilities are 0.5 from the truth. Knows no cell, no store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

from configs.errors import ConfigError, require

Unit = Literal["drop", "l1"]
"""What a strength is calibrated to: a drop of honest accuracy, a share; the L1 distance of what is sold of a token from the
teacher's own distribution."""

UNITS: tuple[Unit, ...] = get_args(Unit)
"""Each with ``:`` begins a value that is to be calibrated."""


class Asked(NamedTuple):
    """A strength that a configuration leaves to calibration.

    Args:
        defense: its name in the stack.
        field: that has the value.
        target: what it should come to, in ``unit``.
        unit: of what.
    """

    defense: str
    field: str
    target: float
    unit: Unit = "drop"

    @property
    def place(self) -> str:
        """The field as a user writes it."""
        return f"defense.{self.defense}.{self.field}"

    @property
    def written(self) -> str:
        """The value as a user writes it."""
        return f"{self.unit}:{self.target:g}"


def target(value: object, field: str, unit: Unit = "drop") -> float:
    """A drop as a share, or a distance.

    Raises:
        ConfigError: it is none.
    """
    reasons = {
        "drop": "must be a share between 0 and 1: 0.05 is a drop of five points",
        "l1": "must be an L1 distance between 0 and 2",
    }
    try:
        found = float(str(value))
    except ValueError as error:
        raise ConfigError(field, value, reasons[unit]) from error
    require(0 < found < {"drop": 1, "l1": 2}[unit], field, value, reasons[unit])
    return found


def asked_of(plain: Mapping[str, Any]) -> Asked | None:
    """What a resolved configuration leaves to calibration, if anything.

    Raises:
        ConfigError: more than one strength of a stack, or a target that is none.
    """
    stack = plain.get("defense")
    found = [
        Asked(str(name), str(field), target(value.removeprefix(f"{unit}:"), f"defense.{name}.{field}", unit), unit)
        for name, part in (stack.items() if isinstance(stack, Mapping) else ())
        for field, value in (part.items() if isinstance(part, Mapping) else ())
        for unit in UNITS
        if isinstance(value, str) and value.startswith(f"{unit}:")
    ]
    if len(found) > 1:
        raise ConfigError(found[1].place, found[1].written, "only one strength of a stack can be calibrated")
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
        raise ConfigError(asked.place, asked.written, reason)
