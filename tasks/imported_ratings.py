"""Ratings that were made elsewhere, by people or by other judges, in the place of a judge's own.

The file is JSON-lines or parquet with a row a rating: ``key`` (of the stored texts, as `python -m experiments.cli.ratings
export` writes it), ``item`` and ``rating``. Other columns are not read. It is somebody else's file: whatever cannot be taken
for a rating is refused with its line, before anything runs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from configs.content import content_of
from configs.errors import ConfigError, require
from tasks.text_judge import JudgedTexts, Ratings, TextJudge

COLUMNS = ("key", "item", "rating")


class ImportedRating(NamedTuple):
    """One rating, and the line that it stands in, as messages call it."""

    line: str
    value: float


@dataclass(frozen=True, kw_only=True)
class ImportedRatings(TextJudge):
    """Says of each stored text what a file says of it; texts that the file does not name have no rating.

    Args:
        path: the file, ``.jsonl``, ``.json`` (one object a line too) or ``.parquet``. One without lines leaves all texts
            unrated, and stored: these can then be exported and rated.
    """

    name: ClassVar[str] = "imported_ratings"
    version: ClassVar[int] = 1
    places: ClassVar[tuple[str, ...]] = ("path",)
    reads: ClassVar[bool] = False

    path: str

    def content(self) -> str:
        """See `configs.identity.Part.content`."""
        place = self._place
        return content_of([place]) if place.is_file() else ""

    def check(self) -> None:
        """See `TextJudge.check`: the whole file is read."""
        _ = self._by_text

    def ratings(self, judged: JudgedTexts) -> Ratings:
        """See `TextJudge.ratings`.

        Raises:
            ConfigError: a rating of an item that these texts do not have.
        """
        own, known = self._by_text.get(judged.key, {}), set(judged.items)
        for item, rating in own.items():
            if item not in known:
                raise self._refusal(rating.line, f"names the item {item!r}, which the texts {judged.key} do not have")
        found = np.array([own[item].value if item in own else np.nan for item in judged.items], np.float64)
        return Ratings(found, np.where(np.isnan(found), np.nan, 1.0))

    def require_keys(self, known: Collection[str]) -> None:
        """Refuse a rating of texts that are not among those of these keys.

        Raises:
            ConfigError: naming the first line that has another.
        """
        for key, own in self._by_text.items():
            if key not in known:
                line = next(iter(own.values())).line
                raise self._refusal(line, f"has the key {key!r}, and no stored texts have that")

    @property
    def _place(self) -> Path:
        return Path(self.path).expanduser()

    @cached_property
    def _by_text(self) -> Mapping[str, Mapping[str, ImportedRating]]:
        """By key of the texts and item; raises `ConfigError` for any line that is no rating."""
        found: dict[str, dict[str, ImportedRating]] = {}
        for line, row in self._rows():
            missing = next((name for name in COLUMNS if row.get(name) is None), None)
            if missing is not None:
                raise self._refusal(line, f"has no {missing}: each needs {', '.join(COLUMNS)}")
            key, item = row["key"], row["item"]
            if not (isinstance(key, str) and isinstance(item, str)):
                raise self._refusal(line, "has a key or an item that is no text")
            own = found.setdefault(key, {})
            if item in own:
                raise self._refusal(line, f"rates the item {item!r} of {key} again, after {own[item].line}")
            own[item] = ImportedRating(line, self._value(row["rating"], line))
        return found

    def _value(self, rating: Any, line: str) -> float:
        """A rating as a number: a word of the scale, or a number between its ends."""
        if isinstance(rating, str):
            if rating.strip() not in self.scale:
                raise self._refusal(
                    line, f"has the rating {rating!r}, which is not on the scale {', '.join(self.scale)}"
                )
            return float(self.values[self.scale.index(rating.strip())])
        low, high = self.limits
        number = isinstance(rating, int | float) and not isinstance(rating, bool) and math.isfinite(rating)
        if not (number and low <= rating <= high):
            raise self._refusal(line, f"has the rating {rating!r}, and the scale goes from {low:g} to {high:g}")
        return float(rating)

    def _rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Each row, with what messages call it."""
        require(bool(self.path), "path", self.path, "must name a file of ratings")
        place = self._place
        require(place.is_file(), "path", self.path, "is no file")
        if place.suffix == ".parquet":
            yield from self._parquet_rows()
            return
        require(place.suffix in (".jsonl", ".json"), "path", self.path, "must be a .jsonl, .json or .parquet file")
        with place.open("rb") as lines:
            for number, text in enumerate(lines, start=1):
                if not text.strip():
                    continue
                try:
                    row = json.loads(text)
                except ValueError as error:  # no JSON, or no text
                    raise self._refusal(f"line {number}", f"is no JSON ({error})") from error
                if not isinstance(row, dict):
                    raise self._refusal(f"line {number}", "is no JSON object: write one a line")
                yield f"line {number}", row

    def _parquet_rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        import polars as pl
        from polars.exceptions import PolarsError

        try:
            table = pl.read_parquet(self._place, columns=list(COLUMNS))
        except (PolarsError, OSError) as error:
            told = " ".join(str(error).split())[:200]
            raise ConfigError("path", self.path, f"must be a table with {', '.join(COLUMNS)} ({told})") from error
        for number, row in enumerate(table.iter_rows(named=True), start=1):
            yield f"row {number}", row

    def _refusal(self, line: str, reason: str) -> ConfigError:
        return ConfigError("path", self.path, f"{line} {reason}")
