"""Many clients whose demand does not depend on what anybody else does: their planned requests go through a gateway in
order of time, however far its clock is let run at once. Knows nothing of who they are.

Time is cut into rounds of fixed length, so that a day of a population is judged in some thousand batches instead of one a
request. Rounds lie on a fixed grid: what becomes of a request depends neither on who else calls nor on where the clock was
stopped in between, unless a defense makes it depend on that.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teacher.api.client import Outcome, Patience
from teacher.api.errors import ApiError, error_reply
from teacher.api.gateway import Gateway
from teacher.api.schema import BAD_REQUEST, RATE_LIMITED, Params, Prompts, Requests, Responses, Verdicts

ROUND = 30.0
"""Seconds of a round. A retry that falls due within the round of its refusal is sent when that round ends."""


class Crowd:
    """Requests of many people, each on its own: who is told to wait does not hold up others of the same account.

    Answers are fetched for a sample only (`answers`). What else is admitted is settled at once with the output tokens that
    were reserved for it, and billed to its account when the round ends.

    Args:
        gateway: the API; accounts are open already.
        requests: B, in order of planned time.
        prompts: what they index.
        params: shared by all; reservations excepted.
        reserved: (B,) int32 output tokens that each reserves.
        sampled: (B,) bool whose answers are wanted.
        patience: what to do about a 429.

    Attributes:
        prompts: as given.
        due: virtual second of the next attempt, inf when all is over.
    """

    def __init__(
        self,
        gateway: Gateway,
        requests: Requests,
        prompts: Prompts,
        params: Params,
        reserved: NDArray[np.int32],
        sampled: NDArray[np.bool_],
        patience: Patience,
    ) -> None:
        assert (np.diff(requests.time) >= 0).all(), "in order of planned time"
        self._gateway, self._requests, self.prompts, self._params = gateway, requests, prompts, params
        self._reserved, self._sampled, self._patience = reserved, sampled, patience
        count = len(requests)
        self._when = requests.time.copy()
        self._attempts = np.zeros(count, np.int32)
        self._verdicts = Verdicts.admitted(count)
        self._round = ROUND if gateway.limited else math.inf
        self._end, self._coming = 0.0, 0
        self._waiting: defaultdict[float, list[NDArray[np.int64]]] = defaultdict(list)
        self._rows, self._at = np.zeros(0, np.int64), 0
        self._bills: list[tuple[NDArray[np.int32], NDArray[np.float64]]] = []
        self.due = math.inf
        self._open()

    def advance(self, until: float = math.inf) -> None:
        """Send everything that falls due before ``until``.

        Raises:
            ApiError: the parameters are refused with a 400.
        """
        while self.due < until:
            stop = self._at + int(np.searchsorted(self._when[self._rows[self._at :]], until))
            self._send(self._rows[self._at : stop])
            self._at = stop
            if stop == len(self._rows):
                self._book()
                self._open()
            else:
                self.due = float(self._when[self._rows[stop]])

    def outcome(self) -> Outcome:
        """What became of the requests once all is over; see `advance`."""
        assert math.isinf(self.due), "some are still waiting"
        sent = replace(self._requests, time=self._when)
        return Outcome(sent, self._verdicts, self._when - self._requests.time, self._attempts)

    def answers(self) -> tuple[Responses, NDArray[np.int64]]:
        """Answers to the admitted requests of the sample, in order of planned time, and the ledger's rows of these requests;
        ``Responses.request`` is a row of all requests."""
        rows = np.flatnonzero(self._sampled & self._verdicts.ok)
        asked = replace(self._requests.take(rows), time=self._when[rows])
        booked = self._gateway.ledger.admitted_rows(asked)
        lengths = self.prompts.tokens.lengths[asked.prompt].astype(np.int32)
        # Judged with the lengths of the population, billed for what was really asked and answered.
        self._gateway.ledger.resize(booked, lengths)
        responses = self._gateway.complete(asked, self.prompts, self._params)
        return replace(responses, request=rows[responses.request]), booked

    def _open(self) -> None:
        """Gather the next round in which anything falls due."""
        planned, coming = self._requests.time, self._coming
        number = min(self._waiting, default=math.inf)
        if coming < len(planned):
            number = min(number, math.floor(planned[coming] / self._round))
        if math.isinf(number):
            self._rows, self._at, self.due = np.zeros(0, np.int64), 0, math.inf
            return
        self._end = (number + 1) * self._round
        self._coming = coming + int(np.searchsorted(planned[coming:], self._end))
        rows = np.concatenate([*self._waiting.pop(number, []), np.arange(coming, self._coming)])
        self._rows, self._at = rows[np.argsort(self._when[rows], kind="stable")], 0
        self.due = float(self._when[self._rows[0]])

    def _send(self, rows: NDArray[np.int64]) -> None:
        """One batch, all of the present round."""
        now, gateway = self._when[rows], self._gateway
        batch = replace(self._requests.take(rows), time=now)
        first = len(gateway.ledger)
        said = gateway.judge(batch, self.prompts, self._params, self._reserved[rows])
        if (said.status == BAD_REQUEST).any():
            raise ApiError(error_reply(said, 0, f"req_{first:012x}"))
        for column, values in vars(self._verdicts).items():
            values[rows] = getattr(said, column)
        self._attempts[rows] += 1
        self._settle(batch, first, np.flatnonzero(said.ok & ~self._sampled[rows]), rows)
        if said.ok.all():
            return
        again = now + said.retry_after * self._patience.backoff ** (self._attempts[rows] - 1.0)
        again = np.maximum(again, self._end)
        retried = (said.status == RATE_LIMITED) & (self._attempts[rows] <= self._patience.retries)
        retried &= again - self._requests.time[rows] <= self._patience.max_wait  # not where there is no retry-after
        later, times = rows[retried], again[retried]
        self._when[later] = times
        number = np.floor(times / self._round)
        for each in np.unique(number):
            self._waiting[float(each)].append(later[number == each])

    def _settle(self, batch: Requests, first: int, kept: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
        """Settle these rows of the batch, whose ledger rows begin at ``first``."""
        if len(kept):
            tokens = self._reserved[rows[kept]]
            dollars = self._gateway.prices.dollars(batch.input_tokens[kept], tokens)
            self._gateway.ledger.settle(first + kept, batch.input_tokens[kept], tokens, dollars)
            self._bills.append((batch.account[kept], dollars))

    def _book(self) -> None:
        """Bill what was settled in the round: no earlier, so that a tier is reached at the same time in any company."""
        if self._bills:
            columns: Any = zip(*self._bills, strict=True)
            self._gateway.accounts.charge(*map(np.concatenate, columns))
            self._bills = []
