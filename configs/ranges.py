"""Which numbers a configuration may hold: what is asked of every one at the boundary, and ranges for ``__post_init__``."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from configs.errors import ConfigError, require

LARGEST = 2**53
"""Up to here every whole number is a float too; nothing that is configured comes near."""

MAY_BE_INFINITE = "may be infinite"
Unlimited = Annotated[float, MAY_BE_INFINITE]
"""Type of a field in which ``inf`` stands for no limit; in every other field a number is finite."""


def check_number(value: object, field: str, infinite: bool = False) -> None:
    """Refuse a number that no field can have, in a list or a mapping too; anything that is not a number passes.

    Args:
        value: a plain value.
        field: dotted name, for messages.
        infinite: whether ``inf`` stands for something here.

    Raises:
        ConfigError: NaN, an infinite number, one beyond `LARGEST`.
    """
    if isinstance(value, (list, tuple, Mapping)):
        for where, entry in _values(value, field):
            check_number(entry, where, infinite)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    require(value == value, field, value, "must be a number")
    if abs(value) == math.inf:
        require(infinite and value > 0, field, value, "must be finite")
    else:
        require(abs(value) <= LARGEST, field, value, f"must be at most {LARGEST:,}")


def at_least(part: Any, least: float, *names: str) -> None:
    """Refuse fields of ``part`` below ``least``; of a list, a mapping, each entry. None passes, NaN does not."""
    _check(part, names, operator.ge, least, f"must be at least {least:g}")


def more_than(part: Any, bound: float, *names: str) -> None:
    """As `at_least`, ``bound`` itself excluded."""
    _check(part, names, operator.gt, bound, f"must be more than {bound:g}")


def between(part: Any, low: float, high: float, *names: str) -> None:
    """As `at_least`, from both sides; ``low`` and ``high`` are allowed."""
    _check(part, names, lambda value, _: low <= value <= high, low, f"must be between {low:g} and {high:g}")


def whole_number(value: object, field: str, least: int, most: int = LARGEST) -> int:
    """``value``, if it is a whole number from ``least`` to ``most``; raises `ConfigError` otherwise."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(field, value, "must be a whole number")
    require(value >= least, field, value, f"must be at least {least}")
    require(value <= most, field, value, f"must be at most {most:,}")
    return value


def _check(part: Any, names: tuple[str, ...], holds: Callable[[Any, Any], bool], bound: float, reason: str) -> None:
    for name in names:
        for where, value in _values(getattr(part, name), name):
            if value is not None and not holds(value, bound):
                raise ConfigError(where, value, reason)


def _values(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (list, tuple)):
        yield from ((f"{name}[{at}]", entry) for at, entry in enumerate(value))
    elif isinstance(value, Mapping):
        yield from ((f"{name}.{key}", entry) for key, entry in value.items())
    else:
        yield name, value
