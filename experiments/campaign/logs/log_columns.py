"""The columns of a request log, and how their values become numbers. Knows nothing of files, batches or detectors."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from configs.errors import ConfigError, require

COLUMNS = {
    "time": "seconds since 1970-01-01 UTC, or a date and time of ISO 8601, UTC where it has no offset",
    "account": "name or number of the account",
    "prompt": "text of the prompt",
    "input_tokens": "tokens of the prompt",
    "output_tokens": "tokens of the answer",
    "network": "IPv4 address, /24 network, or any other name of a network",
    "payment": "hash of the means of payment of the account",
    "fingerprint": "hash of the client software of the account",
    "organisation": "that the account belongs to",
    "opened": "when the account was opened, as time",
    "status": "HTTP status; only answered requests (200) are looked at",
    "label": "what is known of the account: honest, or the name of an operation",
    "kind": "of honest account, for false alarms",
}
"""Column -> what it holds. A log has the first two at least; others than these are ignored."""
NEEDED = ("time", "account")
FILLED = (*NEEDED, "prompt", "input_tokens", "output_tokens", "network", "status")
"""Those that have a value in every row, where they are there at all."""
HONEST = "honest"
LONGEST_NAME, LONGEST_TEXT = 256, 20_000
"""Characters of a name; characters of a prompt that are read, the rest is cut off."""
EARLIEST, LATEST = 0.0, 4_102_444_800.0
"""Unix seconds of 1970 and 2100."""
MOST_TOKENS = 2**30
_NAMED = 2**30
"""Numbers of networks that are names begin here."""


class RowPlace(NamedTuple):
    """Where a batch stands, for messages.

    Args:
        field: what of the command line the file is: ``--logs``.
        first: number of its first row in the file, from 1.
    """

    field: str
    first: int


def wrong(place: RowPlace, column: str, row: int, value: object, reason: str) -> ConfigError:
    """An error that names the column, the row (from 1, the heading not counted) and the value."""
    shown = repr(value)[:80]
    return ConfigError(f"{place.field}: column {column}, row {place.first + row}", shown, reason)


def complete(values: pl.Series, column: str, place: RowPlace) -> None:
    """Raise `ConfigError` at the first row without a value."""
    if values.null_count():
        row = int(values.is_null().arg_max() or 0)
        raise wrong(place, column, row, None, "is empty: give a value in every row, or leave the column out")


def names(values: pl.Series, column: str, place: RowPlace) -> pl.Series:
    """Names as text; whole numbers are names too.

    Raises:
        ConfigError: another type, or a name that is empty or too long.
    """
    kind = values.dtype
    if kind == pl.Categorical or isinstance(kind, pl.Enum) or kind.is_integer():
        values = values.cast(pl.String)
    require(
        values.dtype == pl.String or kind == pl.Null,
        f"{place.field}: column {column}",
        kind,
        "must be text or whole numbers",
    )
    values = values.cast(pl.String)
    lengths = values.str.len_chars()
    bad = ((lengths == 0) | (lengths > LONGEST_NAME)).fill_null(False)
    if bad.any():
        row = int(bad.arg_max() or 0)
        raise wrong(place, column, row, values[row], f"must have 1 to {LONGEST_NAME} characters")
    return values


def texts(values: pl.Series, column: str, place: RowPlace) -> pl.Series:
    """Prompts, cut at `LONGEST_TEXT` characters."""
    require(values.dtype == pl.String, f"{place.field}: column {column}", values.dtype, "must be text")
    return values.str.head(LONGEST_TEXT)


def whole(values: pl.Series, column: str, place: RowPlace, most: int = MOST_TOKENS) -> NDArray[np.int32]:
    """(B,) whole numbers from 0 to ``most``."""
    numbers = values.cast(pl.Float64, strict=False) if values.dtype == pl.String or values.dtype.is_numeric() else None
    require(numbers is not None, f"{place.field}: column {column}", values.dtype, "must be whole numbers")
    assert numbers is not None
    bad = (
        numbers.is_null() | numbers.is_nan() | (numbers < 0) | (numbers > most) | (numbers != numbers.floor())
    ).fill_null(True)
    if bad.any():
        row = int(bad.arg_max() or 0)
        raise wrong(place, column, row, values[row], f"must be a whole number from 0 to {most:,}")
    return numbers.to_numpy().astype(np.int32)


def seconds(values: pl.Series, column: str, place: RowPlace) -> NDArray[np.float64]:
    """(B,) Unix seconds, NaN where there is no value.

    Raises:
        ConfigError: no time at all, or one outside of 1970 to 2100, such as milliseconds.
    """
    kind = values.dtype
    if isinstance(kind, pl.Datetime):
        found = values.cast(pl.Datetime("us", kind.time_zone)).dt.epoch("us").cast(pl.Float64) / 1e6
    elif kind.is_numeric():
        found = values.cast(pl.Float64)
    elif kind in (pl.String, pl.Null):
        found = _written(values.cast(pl.String))
    else:
        raise ConfigError(f"{place.field}: column {column}", kind, f"must be {COLUMNS['time']}")
    out = np.asarray(found.fill_null(np.nan).to_numpy(), np.float64)
    bad = values.is_not_null().to_numpy() & ~((out >= EARLIEST) & (out <= LATEST))
    if bad.any():
        row = int(bad.argmax())
        raise wrong(place, column, row, values[row], f"must be {COLUMNS['time']}, from 1970 to 2100")
    return out


def _written(values: pl.Series) -> pl.Series:
    """Unix seconds of texts: a number, or ISO 8601; null where it is neither."""
    plain = values.cast(pl.Float64, strict=False)
    if plain.null_count() == values.null_count():
        return plain
    text = values.str.strip_chars().str.replace(" ", "T", literal=True).str.replace("Z$", "+00:00")
    frame = pl.DataFrame({"text": text, "plain": plain}).with_columns(
        pl.when(pl.col("text").str.contains(r"T.*[+-]\d\d:?\d\d$")).then("text").otherwise(pl.col("text") + "+00:00")
    )
    read = pl.col("text").str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", strict=False)
    return frame.select(pl.coalesce("plain", read.dt.epoch("us").cast(pl.Float64) / 1e6)).to_series()


def network(name: str) -> tuple[int, bool] | None:
    """Number of a network that is a number, an IPv4 address or a /24, and True; None for any other name."""
    if name.isascii() and name.isdigit() and len(name) <= 9:
        return int(name), True
    try:
        return int(ipaddress.IPv4Network(name, strict=False).network_address) >> 8, True
    except ValueError:
        return None


def named_network(order: int) -> int:
    """Number of the ``order``-th network that is only a name."""
    return _NAMED + order
