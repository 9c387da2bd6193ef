"""A request log read into columns of numbers, batch by batch; every value is checked. Knows nothing of detectors.

What is kept is some 40 bytes a request and each distinct prompt once: texts go batch by batch. Nothing is unpickled or
executed; parquet and CSV are read by pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from configs.errors import ConfigError, require
from experiments.campaign.logs import log_columns as columns
from experiments.campaign.logs.log_columns import COLUMNS, FILLED, HONEST, NEEDED, RowPlace
from teacher.api.clock import DAY

ROWS = 131_072
"""Of a batch."""
MOST_ROWS = 100_000_000
MOST_TEXTS = 500_000
"""Distinct prompts that are kept: their vectors are 2 kB each."""
MOST_CHARACTERS = 2**30
"""Of all distinct prompts together."""
LARGEST_BATCH = 2**31
"""Bytes that a batch may have once it is unpacked."""
_PER_ACCOUNT = ("payment", "fingerprint", "organisation", "label", "kind")


@dataclass
class Numbering:
    """Distinct values, numbered as they come."""

    number: dict[str, int] = field(default_factory=dict)

    def of(self, values: pl.Series) -> NDArray[np.int32]:
        """(B,) number of each value, -1 for null."""
        distinct = values.drop_nulls().unique(maintain_order=True)
        found = [self.number.setdefault(value, len(self.number)) for value in distinct.to_list()]
        codes = pl.Series(found, dtype=pl.Int32)
        return values.replace_strict(distinct, codes, default=-1, return_dtype=pl.Int32).fill_null(-1).to_numpy()

    def __len__(self) -> int:
        return len(self.number)


@dataclass
class RequestLog:
    """A log in numbers; R answered requests in order of time, A accounts.

    Args:
        has: columns that the file has, and ``asn`` where all networks are numbers that lie in blocks.
        time: (R,) virtual seconds since ``start``.
        account: (R,) int32.
        prompt: (R,) int32 row of the texts that were given to `read`; empty where there are no prompts.
        input_tokens, output_tokens, network: (R,) int32; empty where the log has none.
        names: of accounts.
        start: Unix seconds of the midnight (UTC) before the first request.
        opened: (A,) virtual seconds, that of the first request where it is not said.
        of_account: by column of payment, fingerprint, organisation, label, kind: (A,) int32 number, -1 where not said.
        values: the same columns' values, in the order of the numbers.
        refused: requests that were not answered, and are not among these.
        too_many_texts: whether there were more distinct prompts than are kept, so that ``prompt`` is not among ``has``.
    """

    has: frozenset[str]
    time: NDArray[np.float64]
    account: NDArray[np.int32]
    prompt: NDArray[np.int32]
    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    network: NDArray[np.int32]
    names: list[str]
    start: float
    opened: NDArray[np.float64]
    of_account: dict[str, NDArray[np.int32]]
    values: dict[str, list[str]]
    refused: int
    too_many_texts: bool

    def __len__(self) -> int:
        return len(self.time)

    def known(self, column: str) -> NDArray[np.object_]:
        """(A,) the value of each account, None where it is not said."""
        return np.array([*self.values[column], None], object)[self.of_account[column]]


def read(path: Path, texts: Numbering, option: str = "--logs") -> RequestLog:
    """Read a log.

    Args:
        path: a ``.parquet`` or ``.csv`` file; what its columns hold: `log_columns.COLUMNS`.
        texts: distinct prompts so far; those of this log are added.
        option: of the command line, for messages.

    Raises:
        ConfigError: no such file, a column that is missing or of another type, a value that cannot be: the column, the row
            and the value are named.
    """
    return _Reader(option, texts).read(path)


class _Reader:
    def __init__(self, option: str, texts: Numbering) -> None:
        self.option, self.texts = option, texts
        self.accounts, self.networks = Numbering(), Numbering()
        self.values = {name: Numbering() for name in _PER_ACCOUNT}
        self.of_account = {name: np.zeros(0, np.int32) for name in _PER_ACCOUNT}
        self.opened = np.zeros(0)
        self.kept: dict[str, list[NDArray[Any]]] = {}
        self.blocks, self.too_many = True, False
        self.refused = self.rows = self.characters = 0

    def read(self, path: Path) -> RequestLog:
        has: frozenset[str] = frozenset()
        for batch in _batches(path, self.option):
            has = frozenset(batch.columns)
            self._add(batch)
        require(self.rows > 0, self.option, str(path), "holds no request")
        whole = {name: np.concatenate(parts) for name, parts in self.kept.items()}
        self.kept = {}
        require(len(whole["time"]) > 0, self.option, str(path), "holds no request that was answered (status 200)")
        order = np.argsort(whole["time"], kind="stable")
        whole = {name: values[order] for name, values in whole.items()}
        start = float(whole["time"][0] // DAY * DAY)
        first = np.full(len(self.accounts), np.inf)
        np.minimum.at(first, whole["account"], whole["time"])
        opened = np.where(np.isfinite(self.opened), self.opened, first) - start
        known = has - ({"prompt"} if self.too_many else set()) | (
            {"asn"} if "network" in has and self.blocks else set()
        )
        nothing = np.zeros(0, np.int32)
        return RequestLog(
            has=frozenset(known),
            time=whole["time"] - start,
            account=whole["account"],
            prompt=nothing if self.too_many else whole.get("prompt", nothing),
            **{name: whole.get(name, nothing) for name in ("input_tokens", "output_tokens", "network")},
            names=list(self.accounts.number),
            start=start,
            opened=opened,
            of_account=self.of_account,
            values={name: list(numbering.number) for name, numbering in self.values.items()},
            refused=self.refused,
            too_many_texts=self.too_many,
        )

    def _add(self, batch: pl.DataFrame) -> None:
        place = RowPlace(self.option, self.rows + 1)
        self.rows += batch.height
        require(self.rows <= MOST_ROWS, self.option, self.rows, f"has more than {MOST_ROWS:,} rows: give a part of it")
        for name in FILLED:
            if name in batch.columns:
                columns.complete(batch[name], name, place)
        time = columns.seconds(batch["time"], "time", place)
        who = self.accounts.of(columns.names(batch["account"], "account", place))
        self._note_accounts(batch, who, place)
        found: dict[str, NDArray[Any]] = {"time": time, "account": who}
        for name in ("input_tokens", "output_tokens"):
            if name in batch.columns:
                found[name] = columns.whole(batch[name], name, place)
        if "network" in batch.columns:
            found["network"] = self._network(columns.names(batch["network"], "network", place))
        if "prompt" in batch.columns:
            text = columns.texts(batch["prompt"], "prompt", place)
            if not self.too_many:
                found["prompt"] = self.texts.of(text)
                self.characters += int(
                    text.unique().str.len_chars().sum()
                )  # those of other batches again: an upper bound
                self.too_many = len(self.texts) > MOST_TEXTS or self.characters > MOST_CHARACTERS
        answered: Any = slice(None)
        if "status" in batch.columns:
            answered = columns.whole(batch["status"], "status", place, 999) == 200
            self.refused += int((~answered).sum())
        for name, values in found.items():
            self.kept.setdefault(name, []).append(values[answered])

    def _network(self, name: pl.Series) -> NDArray[np.int32]:
        """(B,) numbers: of /24 networks their own, of other names one after the other."""
        distinct = name.unique(maintain_order=True)
        numbers = []
        for one in distinct.to_list():
            found = columns.network(one)
            if found is None:
                self.blocks = False
                order = self.networks.number.setdefault(one, len(self.networks))
                numbers.append(columns.named_network(order))
            else:
                numbers.append(found[0])
        return name.replace_strict(distinct, pl.Series(numbers, dtype=pl.Int32), return_dtype=pl.Int32).to_numpy()

    def _note_accounts(self, batch: pl.DataFrame, who: NDArray[np.int32], place: RowPlace) -> None:
        """What rows say of their account: the first that says anything counts; labels, kinds and dates may not differ."""
        more = len(self.accounts) - len(self.opened)
        self.opened = np.concatenate([self.opened, np.full(more, np.nan)])
        if "opened" in batch.columns:
            given = columns.seconds(batch["opened"], "opened", place)
            self.opened = self._once("opened", self.opened, who, given, np.isnan, batch, place, strict=True)
        for name in _PER_ACCOUNT:
            held = np.concatenate([self.of_account[name], np.full(more, -1, np.int32)])
            if name in batch.columns:
                given = self.values[name].of(columns.names(batch[name], name, place))  # type: ignore[assignment]
                strict = name in ("label", "kind")
                held = self._once(name, held, who, given, lambda x: x < 0, batch, place, strict)
            self.of_account[name] = held

    def _once(
        self, name: str, held: Any, who: Any, given: Any, blank: Any, batch: pl.DataFrame, place: RowPlace, strict: bool
    ) -> Any:
        said = np.flatnonzero(~blank(given))[::-1]  # the first of an account is written last, and stays
        fresh = held.copy()
        fresh[who[said]] = given[said]
        held = np.where(blank(held), fresh, held)
        if strict:
            other = ~blank(given) & (given != held[who])
            if other.any():
                row = int(other.argmax())
                account = batch["account"][row]
                reason = f"is not what an earlier row says of the account {account!r}"
                raise columns.wrong(place, name, row, batch[name][row], reason)
        return held


def honest(log: RequestLog) -> NDArray[np.bool_]:
    """(A,) accounts that nobody says anything against: labelled honest, or not labelled."""
    numbers = log.of_account["label"]
    at = log.values["label"].index(HONEST) if HONEST in log.values["label"] else -1
    return np.asarray((numbers == at) | (numbers == -1))


def _batches(path: Path, option: str) -> Iterator[pl.DataFrame]:
    """The columns that are known, `ROWS` rows at a time."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    require(path.is_file(), option, str(path), "is not a file")
    require(path.suffix in (".parquet", ".csv"), option, path.name, "must end in .parquet or .csv")
    try:
        if path.suffix == ".parquet":
            with parquet.ParquetFile(path) as file:
                rows = file.metadata.num_rows
                require(rows <= MOST_ROWS, option, rows, f"has more than {MOST_ROWS:,} rows: give a part of it")
                names = _chosen(file.schema_arrow.names, option)
                for batch in file.iter_batches(ROWS, columns=names):
                    yield _frame(pa.Table.from_batches([batch]), option)
        else:
            with csv.open_csv(path) as head:
                all_names = head.schema.names
            names = _chosen(all_names, option)
            convert = csv.ConvertOptions(
                include_columns=names,
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
            )
            parse = csv.ParseOptions(newlines_in_values=True)
            reading = csv.ReadOptions(block_size=2**24)
            with csv.open_csv(path, read_options=reading, parse_options=parse, convert_options=convert) as reader:
                for batch in reader:
                    yield _frame(pa.Table.from_batches([batch]), option)
    except (pa.ArrowException, OSError) as error:
        said = str(error).splitlines()[0][:200]
        raise ConfigError(option, path.name, f"cannot be read as {path.suffix[1:]}: {said}") from error


def _chosen(names: list[str], option: str) -> list[str]:
    for name in NEEDED:
        if name not in names:
            raise ConfigError(option, sorted(names)[:20], f"lacks the column {name!r}: {COLUMNS[name]}")
    repeated = [name for name in COLUMNS if names.count(name) > 1]
    require(not repeated, option, repeated, "are columns that it has more than once")
    return [name for name in COLUMNS if name in names]


def _frame(table: Any, option: str) -> pl.DataFrame:
    require(
        table.nbytes <= LARGEST_BATCH, option, table.nbytes, f"has more than {LARGEST_BATCH:,} bytes in {ROWS:,} rows"
    )
    for column in table.schema:
        import pyarrow as pa

        nested = pa.types.is_nested(column.type) or pa.types.is_binary(column.type)
        require(not nested, f"{option}: column {column.name}", column.type, "must hold plain values")
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
