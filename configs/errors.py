"""Errors a user can cause: each names the field, the value, what is allowed, and the nearest match."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MoatBenchError(Exception):
    """Base of every error that is the user's to mend; the command line prints it without a traceback."""


class ConfigError(MoatBenchError):
    """A field of the configuration has a value it cannot have.

    Args:
        field: dotted name of the field as the user writes it, e.g. ``defense.temperature.tau``.
        value: what was given.
        reason: why it cannot be, as a clause ("must be positive").
        choices: allowed values, where they can be listed; the nearest one is suggested.
        meant: what to compare the choices with; the value where it is not given.
        note: what is said last, after the choices.
    """

    def __init__(
        self,
        field: str,
        value: object,
        reason: str,
        choices: Iterable[str] = (),
        meant: str | None = None,
        note: str = "",
    ) -> None:
        self.field, self.value, self.reason, self.choices = field, value, reason, tuple(choices)
        self.meant, self.note = meant, note
        text = f"{field} = {value!r}: {reason}"
        if self.choices:
            near = difflib.get_close_matches(str(value) if meant is None else meant, self.choices, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            text += f"{hint} (choices: {', '.join(sorted(self.choices))})"
        super().__init__(f"{text} ({note})" if note else text)

    def within(self, part: str) -> ConfigError:
        """The same error, its field being one of ``part``: ``path`` is now ``teacher.path``."""
        return ConfigError(f"{part}.{self.field}", self.value, self.reason, self.choices, self.meant, self.note)


def require(condition: bool, field: str, value: object, reason: str) -> None:
    """Raise `ConfigError` unless ``condition`` holds; for checks in ``__post_init__``."""
    if not condition:
        raise ConfigError(field, value, reason)
