"""Rows of a dataset of the `datasets` library, read without running code that comes with it, and their cells. Knows neither
splits nor items. What cannot be read is the user's to mend, so each complaint names the column and the row."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.errors import ConfigError, require

Row = Mapping[str, Any]

_FILES = {".json": "json", ".jsonl": "json", ".parquet": "parquet"}
_PATTERN = re.compile(r"[\[\]*?]")


def local(path: str) -> Path | None:
    """The file or folder that ``path`` names here, None where there is none: then it is a name on the hub."""
    place = Path(path).expanduser()
    return place if place.exists() else None


def load_rows(path: str, config: str, revision: str, split: str, part: str = "task") -> Sequence[Row]:
    """Rows of one of the dataset's own splits; ``part`` says whose setting the path is, here and below.

    Raises:
        ConfigError: it cannot be found or read, or has no rows.
    """
    from datasets import disable_progress_bars, load_dataset
    from datasets.exceptions import DatasetsError

    disable_progress_bars()
    place = local(path)
    if place is not None:
        reason = "has one of the characters [ ] * ?, which the datasets library reads as patterns; rename it"
        require(not _PATTERN.search(str(place)), f"{part}.path", path, reason)
    try:
        if place is None:
            return load_dataset(path, config or None, revision=revision or None, split=split)  # type: ignore[no-any-return]
        if place.is_dir():
            return load_dataset(str(place), split=split)  # type: ignore[no-any-return]
        kind = _FILES.get(place.suffix)
        require(kind is not None, f"{part}.path", path, "must be a .json, .jsonl or .parquet file")
        require(place.stat().st_size > 0, f"{part}.path", path, "is an empty file")
        return load_dataset(kind, data_files={split: str(place)}, split=split)  # type: ignore[no-any-return]
    except (OSError, ValueError, TypeError, KeyError, IndexError, RuntimeError, StopIteration, DatasetsError) as error:
        line = " ".join(str(error.__cause__ or error).split())[:300]
        reason = f"could not be loaded ({line}); give a local file or folder, or a hub name with a connection"
        raise ConfigError(f"{part}.path", path, reason) from error


def text_of(row: Row, field: str, column: str, at: str, part: str = "task") -> str:
    """A cell as text: text itself, or a number; ``at`` says which row it is, ``field`` which setting names the column.

    Raises:
        ConfigError: there is no such column, or the cell is empty or of another kind.
    """
    if column not in row:
        raise ConfigError(f"{part}.{field}", column, f"is not a column of {at}", row)
    value = row[column]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise ConfigError(f"{part}.{field}", column, f"is empty in {at}; leave such rows out")
    if not isinstance(value, str | int | float):
        kind = "a list of chat messages" if _is_chat(value) else f"a {type(value).__name__}"
        raise ConfigError(f"{part}.{field}", column, f"must be a column of texts or numbers; {at} has {kind}")
    text = str(value).strip()
    require(bool(text), f"{part}.{field}", column, f"is empty in {at}; leave such rows out")
    return text


def texts_of(row: Row, field: str, column: str, at: str) -> tuple[str, ...]:
    """A cell with a list of texts, or with one text, without those that are empty: () for an empty cell.

    Raises:
        ConfigError: there is no such column, or the cell is of another kind.
    """
    if column not in row:
        raise ConfigError(f"task.{field}", column, f"is not a column of {at}", row)
    value = row[column]
    texts = value if isinstance(value, list) else [] if value is None else [value]
    for text in texts:
        if not isinstance(text, str):
            reason = f"must be a column of texts or of lists of texts; {at} has a {type(text).__name__}"
            raise ConfigError(f"task.{field}", column, reason)
    return tuple(text for text in texts if text.strip())


def level_of(row: Row, column: str, at: str) -> int:
    """A cell as a level: a whole number, or a text with one ("Level 3").

    Raises:
        ConfigError: it has none, or several.
    """
    text = text_of(row, "level", column, at)
    numbers = re.findall(r"-?\d+(?:\.\d+)?", text[:100])
    whole = len(numbers) == 1 and float(numbers[0]).is_integer()
    require(whole, "task.level", column, f"must have one whole number in each row; {at} has {text[:40]!r}")
    return int(float(numbers[0]))


def _is_chat(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(turn, Mapping) and "role" in turn for turn in value)
