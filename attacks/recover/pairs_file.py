"""Prompts and responses in a file of JSON lines. Knows nothing of tokens."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from configs.errors import ConfigError, require


class Pair(NamedTuple):
    """One line."""

    prompt: str
    response: str


def pairs_of(path: str, field: str) -> list[Pair]:
    """The pairs of a file, in order; empty lines are none.

    Args:
        path: of lines ``{"prompt": …, "response": …}``; what else they hold is not looked at.
        field: which setting names the file, for messages.

    Raises:
        ConfigError: it cannot be read, has no pairs, or has a line that is none; names the file and the line.
    """
    lines = _read(path, field).split(b"\n")
    pairs = [_pair(line, f"{path}, line {number}", field) for number, line in enumerate(lines, 1) if line.strip()]
    require(bool(pairs), field, path, "has no lines")
    return pairs


def content_of(path: str, field: str) -> str:
    """Hash of the bytes of such a file; raises as `pairs_of` does."""
    pairs_of(path, field)
    return hashlib.sha256(_read(path, field)).hexdigest()[:32]


def _read(path: str, field: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise ConfigError(field, path, f"cannot be read ({error.strerror})") from error


def _pair(line: bytes, at: str, field: str) -> Pair:
    try:
        row = json.loads(line)
    except ValueError as error:  # neither JSON nor UTF-8
        raise ConfigError(field, at, f"is no JSON ({error})") from error
    require(isinstance(row, dict), field, at, 'must be an object with "prompt" and "response"')
    for key in Pair._fields:
        text = row.get(key)
        require(isinstance(text, str) and bool(text.strip()), field, at, f'has no text under "{key}"')
    return Pair(row["prompt"], row["response"])
