"""The ledger: one line per attempt to call the API, with its verdict and its price. Knows nothing of defenses or prices.

Columnar grow by doubling, so appending costs the same whether a batch holds one request or a million.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from teacher.api.schema import OK, Requests, Verdicts

_COLUMNS = {
    "time": np.float64,
    "account": np.int32,
    "prompt": np.int64,
    "input_tokens": np.int32,
    "output_tokens": np.int32,
    "status": np.int16,
    "reason": np.int32,
    "refused_by": np.int32,
    "dollars": np.float64,
    "completed": np.bool_,
    "marked": np.bool_,
}


class Bills(NamedTuple):
    """What B requests were billed: by tokens of these two kinds at their prices, the dollars.

    Args:
        input_tokens: (B,) prompt, prefill and tool results.
        output_tokens: (B,) all that was generated, hidden tokens included.
        dollars: (B,).
    """

    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    dollars: NDArray[np.float64]


class Ledger:
    """An append-only table of attempts.

    Columnar: ``time`` (virtual seconds), ``account``, ``prompt`` (row of the client's prompts), ``input_tokens``,
    ``output_tokens``, ``status``, ``reason``, ``refused_by`` (name of the defense, "" where admitted), ``dollars``,
    ``completed`` and ``marked`` (a defense suspects who asked). ``input_tokens`` are those of prompt and prefill, and from
    completion on also those of tool results. From admission to completion ``output_tokens`` and ``dollars`` hold what was
    reserved; `settle` puts in what was used and what it cost. Refused attempts cost nothing.
    """

    def __init__(self) -> None:
        self._data: dict[str, NDArray[Any]] = {name: np.zeros(64, kind) for name, kind in _COLUMNS.items()}
        self._length = 0
        self._codes: dict[str, int] = {"": 0}

    def __len__(self) -> int:
        return self._length

    def column(self, name: str) -> NDArray[Any]:
        """(N,) one column as it is held: ``reason`` and ``refused_by`` as codes (see `frame` for the words). Read only."""
        view = self._data[name][: self._length]
        view.flags.writeable = False
        return view

    def append(
        self,
        requests: Requests,
        verdicts: Verdicts,
        refused_by: NDArray[np.object_],
        output_tokens: int | NDArray[np.int32],
        dollars: NDArray[np.float64],
    ) -> None:
        """Log one batch.

        Args:
            requests: B attempts.
            verdicts: what was said to each.
            refused_by: (B,) name of the defense that refused, "" where admitted.
            output_tokens: reserved for each admitted request; one number, or (B,).
            dollars: (B,) reserved for each, were it admitted.
        """
        start, stop = self._length, self._length + len(requests)
        self._reserve(stop)
        here, data, ok = slice(start, stop), self._data, verdicts.ok
        all_ok = bool(ok.all())
        data["time"][here] = requests.time
        data["account"][here] = requests.account
        data["prompt"][here] = requests.prompt
        data["input_tokens"][here] = requests.input_tokens
        data["status"][here] = verdicts.status
        data["output_tokens"][here] = np.where(ok, output_tokens, 0)
        data["dollars"][here] = np.where(ok, dollars, 0.0)
        data["completed"][here] = False
        data["marked"][here] = verdicts.marked
        data["reason"][here] = 0 if all_ok else [self._code(word) for word in verdicts.reason]
        data["refused_by"][here] = 0 if all_ok else [self._code(word) for word in refused_by]
        self._length = stop

    def admitted_rows(self, requests: Requests) -> NDArray[np.int64]:
        """(B,) ledger rows of admitted requests that have not been completed yet.

        Raises:
            ValueError: one of them was never admitted, or has been completed already.
        """
        found = self._rows_of(requests, completed=False)
        if (found < 0).any():
            raise ValueError("a request to complete was never admitted, or has been completed already")
        return found

    def visits(self, bucket: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) how many admitted requests of the same account lie before each in the same bucket; 0 for refused
        ones, and for prompts that have no bucket.

        Args:
            bucket: (P,) of each prompt.
        """
        known = self._data["prompt"][: self._length] < len(bucket)
        rows = np.flatnonzero((self._data["status"][: self._length] == OK) & known)
        account, own = self._data["account"][rows], bucket[self._data["prompt"][rows]]
        order = np.lexsort((rows, own, account))
        first = np.flatnonzero(np.diff(account[order], prepend=-1) | np.diff(own[order], prepend=-1))
        place = np.arange(len(rows)) - np.repeat(first, np.diff(np.append(first, len(rows))))
        visits = np.zeros(self._length, np.int64)
        visits[rows[order]] = place
        return visits

    def bills(self, requests: Requests) -> Bills:
        """What these requests (B,), at the time of their last attempt, were billed; zeros where there was no answer."""
        rows = self._rows_of(requests, completed=True)
        names = ("input_tokens", "output_tokens", "dollars")
        return Bills(*(np.where(rows >= 0, self._data[name][rows], 0) for name in names))

    def resize(self, rows: NDArray[np.int64], input_tokens: NDArray[np.int32]) -> None:
        """Say anew how long the prompts of these rows (B,) are, before they are completed."""
        self._data["input_tokens"][rows] = input_tokens

    def settle(
        self,
        rows: NDArray[np.int64],
        input_tokens: NDArray[np.integer],
        output_tokens: NDArray[np.integer],
        dollars: NDArray[np.float64],
    ) -> None:
        """Replace what was reserved for these rows (B,) by what they took, and mark them completed."""
        self._data["input_tokens"][rows] = input_tokens
        self._data["output_tokens"][rows] = output_tokens
        self._data["dollars"][rows] = dollars
        self._data["completed"][rows] = True

    def requests_between(self, start: float, stop: float, accounts: int) -> NDArray[np.int64]:
        """(accounts,) requests admitted per account in [start, stop) virtual seconds."""
        return np.bincount(self._data["account"][self._admitted(start, stop)], minlength=accounts)

    def tokens_between(self, start: float, stop: float, accounts: int) -> NDArray[np.int64]:
        """(accounts,) input and output tokens, reserved ones included, per account in [start, stop)."""
        rows = self._admitted(start, stop)
        tokens = self._data["input_tokens"][rows].astype(np.int64) + self._data["output_tokens"][rows]
        return np.bincount(self._data["account"][rows], tokens, accounts).astype(np.int64)

    def dollars_between(self, start: float, stop: float, accounts: int) -> NDArray[np.float64]:
        """(accounts,) dollars, reserved ones included, per account in [start, stop)."""
        rows = self._admitted(start, stop)
        return np.asarray(np.bincount(self._data["account"][rows], self._data["dollars"][rows], accounts), np.float64)

    def frame(self) -> pl.DataFrame:
        """One row an attempt, with words for ``reason`` and ``refused_by``."""
        words = np.array(list(self._codes), object)
        columns = {name: self._data[name][: self._length].copy() for name in _COLUMNS}
        series = [
            pl.Series(name, words[values].tolist(), pl.String)
            if name in ("reason", "refused_by")
            else pl.Series(name, values)
            for name, values in columns.items()
        ]
        return pl.DataFrame(series)

    def _rows_of(self, requests: Requests, completed: bool) -> NDArray[np.int64]:
        """(B,) rows of admitted requests, each taken once, that are completed or not; -1 where there is none."""
        waiting: defaultdict[tuple[float, int, int], deque[int]] = defaultdict(deque)
        data = {name: self._data[name][: self._length] for name in ("time", "account", "prompt", "status", "completed")}
        rows = np.flatnonzero((data["status"] == OK) & (data["completed"] == completed))
        names = [data[n][rows].tolist() for n in ("time", "account", "prompt")]
        for row, key in zip(rows.tolist(), zip(*names, strict=True), strict=True):
            waiting[key].append(row)
        wanted = zip(requests.time.tolist(), requests.account.tolist(), requests.prompt.tolist(), strict=True)
        return np.array([waiting[key].popleft() if waiting.get(key) else -1 for key in wanted], np.int64)

    def _admitted(self, start: float, stop: float) -> NDArray[np.int64]:
        time = self._data["time"][: self._length]
        return np.flatnonzero((self._data["status"][: self._length] == OK) & (time >= start) & (time < stop))

    def _reserve(self, length: int) -> None:
        size = len(self._data["time"])
        if length > size:
            grown = max(length, 2 * size)
            for name, values in self._data.items():
                self._data[name] = np.concatenate([values, np.zeros(grown - size, values.dtype)])

    def _code(self, word: str) -> int:
        return self._codes.setdefault(word, len(self._codes))
