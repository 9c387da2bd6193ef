"""Text that somebody else may have written: what a configuration may hold, and how it is shown without being obeyed.

A terminal obeys escape sequences, a table splits at line ends, and letters that change the direction of writing hide what
is said. So `require_plain` refuses them where a configuration comes in, and `printable` and `one_line` spell them out where
text is rendered, since a store may come from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from configs.errors import ConfigError

UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, separators of lines and paragraphs, overrides of the direction of writing, and
bytes that were no text."""

ENDS = re.compile("[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
"""Whatever moves on to another line or column."""

NAME = "name"
"""Fields of this name, and all keys, are printed in tables: they are of one line."""


def printable(text: str) -> str:
    """The text with what cannot be seen spelled out (ESC as ``\\x1b``); lines and tabs stay."""
    return UNSEEN.sub(_spelled, text)


def one_line(text: str) -> str:
    """The text for one cell of a table: `printable`, with a space wherever a line or a column would end."""
    return printable(ENDS.sub(" ", text))


def require_plain(value: Any, field: str) -> None:
    """Refuse text that cannot be printed as it stands, anywhere in a configuration.

    Args:
        value: plain containers.
        field: dotted name of it, for the message.

    Raises:
        ConfigError: control characters in a text; a line end or a tab in a name.
    """
    if isinstance(value, Mapping):
        for key, part in value.items():
            if isinstance(key, str) and (UNSEEN.search(key) or ENDS.search(key)):
                raise ConfigError(field or "configuration", key, "is a name with control characters in it")
            require_plain(part, f"{field}.{key}" if field else str(key))
    elif isinstance(value, (list, tuple)):
        for number, part in enumerate(value):
            require_plain(part, f"{field}[{number}]")
    elif isinstance(value, str):
        if UNSEEN.search(value):
            raise ConfigError(field, value, "has control characters in it: write text that can be printed")
        if field.rpartition(".")[2] == NAME and ENDS.search(value):
            raise ConfigError(field, value, "must be of one line: it is printed in tables")


def _spelled(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
