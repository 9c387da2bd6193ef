"""What a manifest has to say, and in which form: a signed one may have been written by anybody."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

KEY = re.compile(r"[0-9a-f]{32}")
KIND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
"""Name of a stage, or of work that stages share."""

FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .+=@-]{0,199}")
"""Name of a file of an entry: it lies in the entry's own folder."""

SUM = re.compile(r"[0-9a-f]{64}")
META = "meta.json"


def wrong_with(manifest: Mapping[str, Any]) -> str:
    """What is wrong with the form of a manifest, in words; "" where nothing is. Whether it is true is not asked."""
    for part, is_right in PARTS.items():
        if part not in manifest:
            return f"says nothing of its {part}"
        if not is_right(manifest[part]):
            return f"does not say its {part} as it should"
    return ""


def _files(value: Any) -> bool:
    if not isinstance(value, dict) or META not in value:
        return False
    return all(FILE.fullmatch(name) and _fingerprint(about) for name, about in value.items())


def _fingerprint(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"size", "sha256"}:
        return False
    size, digest = value["size"], value["sha256"]
    return _whole(size) and isinstance(digest, str) and SUM.fullmatch(digest) is not None


def _inputs(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_ref, value.values()))


def _memos(value: Any) -> bool:
    return isinstance(value, list) and all(map(_ref, value))


def _ref(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"stage", "key"}:
        return False
    return bool(_matches(KIND)(value["stage"]) and _matches(KEY)(value["key"]))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _seconds(value: Any) -> bool:
    return (_whole(value) or isinstance(value, float)) and isfinite(value) and value >= 0


def _matches(form: re.Pattern[str]) -> Any:
    return lambda value: isinstance(value, str) and form.fullmatch(value) is not None


PARTS = {
    "stage": _matches(KIND),
    "key": _matches(KEY),
    "version": _whole,
    "config": lambda value: True,
    "inputs": _inputs,
    "memos": _memos,
    "files": _files,
    "seconds": _seconds,
    "written": _matches(re.compile(r"[0-9T:+ .Z-]{0,40}")),
}
"""What is asked of each part that is read again."""
