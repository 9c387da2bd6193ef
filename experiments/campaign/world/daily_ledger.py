"""A ledger for campaigns: what a `teacher.api.ledger.Ledger` would say per account and day, without a line for each
attempt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from experiments.campaign.world import tally
from teacher.api.clock import DAY
from teacher.api.ledger import Ledger
from teacher.api.schema import Requests, Verdicts


class DailyLedger(Ledger):
    """Requests, tokens and dollars admitted per account and virtual day.

    Days further back than a month are forgotten. Windows that are asked for begin and end with a day.
    """

    KEPT = 31

    def __init__(self) -> None:
        super().__init__()
        self._days: dict[int, NDArray[np.float64]] = {}

    def append(
        self,
        requests: Requests,
        verdicts: Verdicts,
        refused_by: NDArray[np.object_],
        output_tokens: int | NDArray[np.int32],
        dollars: NDArray[np.float64],
    ) -> None:
        """See `Ledger.append`. What is reserved is taken for what is used."""
        if not len(requests):
            return
        days = [int(moment // DAY) for moment in (requests.time.min(), requests.time.max())]
        size = int(requests.account.max()) + 1
        tokens = np.ascontiguousarray(np.atleast_1d(output_tokens))
        given = (requests.account, verdicts.status, requests.input_tokens, tokens, dollars, requests.time)
        for number in range(days[0], days[1] + 1):
            totals = np.zeros((3, size))
            tally.admitted(*given, number * DAY, (number + 1) * DAY, totals)
            self._add(number, totals)
        for old in [number for number in self._days if number < days[1] - self.KEPT]:
            del self._days[old]

    def requests_between(self, start: float, stop: float, accounts: int) -> NDArray[np.int64]:
        """See `Ledger.requests_between`."""
        return np.asarray(self._between(start, stop, accounts)[0], np.int64)

    def tokens_between(self, start: float, stop: float, accounts: int) -> NDArray[np.int64]:
        """See `Ledger.tokens_between`."""
        return np.asarray(self._between(start, stop, accounts)[1], np.int64)

    def dollars_between(self, start: float, stop: float, accounts: int) -> NDArray[np.float64]:
        """See `Ledger.dollars_between`."""
        return np.asarray(self._between(start, stop, accounts)[2])

    def _add(self, day: int, columns: NDArray[np.float64]) -> None:
        held = self._days.get(day)
        if held is None:
            self._days[day] = columns
            return
        size = max(held.shape[1], columns.shape[1])
        self._days[day] = _wide(held, size) + _wide(columns, size)

    def _between(self, start: float, stop: float, accounts: int) -> NDArray[np.float64]:
        assert start % DAY == stop % DAY == 0, "a daily ledger knows whole days"
        total = np.zeros((3, accounts))
        for day, columns in self._days.items():
            if start <= day * DAY < stop:
                total[:, : columns.shape[1]] += columns
        return total


def _wide(columns: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    return np.pad(columns, ((0, 0), (0, size - columns.shape[1])))
