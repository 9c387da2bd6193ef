"""How accounts behave, in running sums: what is kept of each request of millions, and the features made of it. Knows nothing
of what is suspicious."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from defenses.admission.sight import sketch_of
from defenses.base import AdmissionState
from lm.compiled import compiled_for
from teacher.api.accounts import Accounts
from teacher.api.clock import DAY
from teacher.api.prices import Prices
from teacher.api.schema import Requests

HOURS, BINS = 24, 16
COUNT, FIRST, LAST, GAP, GAP2, ACTIVE, HOUR, EARLY, INPUT, INPUT2, OUTPUT, OUTPUT2 = range(12)
_SUMS, _WIDTH = 12, 12 + BINS
"""Of an account: 12 sums and counts of prompts by sketch (float64), 24 counts of requests by hour (float32), two bitmaps."""

FEATURES = (
    *("age", "per_day", "per_active_hour", "active_share", "hour_entropy", "quietest_third"),
    *("gap_mean", "gap_cv", "templates", "top_template", "template_entropy", "networks"),
    *("input_mean", "input_cv", "output_mean", "output_cv", "dollars_per_day", "first_day"),
)
"""Columns of `features`; see there. Cards, networks and client software are not among them: a red team has its own, and
trees that learn those find nobody else. They are for the detectors that link accounts."""


class Habits:
    """Running sums of accounts over a window of time, 42 float64's worth an account.

    Args:
        window: seconds; windows follow one another from virtual second 0, and each starts with nothing.

    Attributes:
        since: virtual seconds of the first request of the window, inf before it.
        sums: (A, 28) float64 columns `COUNT` ... `OUTPUT2`, then counts of prompts by sketch modulo 16.
        hours: (A, 24) float32 requests by hour of the virtual day.
        seen: (A, 2) uint64 bitmaps of sketches and of networks (linear counting, Whang et al. 1990).
        new: (A,) bool whether anything was added since this was last set to False.
    """

    def __init__(self, window: float) -> None:
        self.window, self.since = window, math.inf
        self._clear()

    def _clear(self) -> None:
        self.sums = np.zeros((0, _WIDTH))
        self.hours = np.zeros((0, HOURS), np.float32)
        self.seen = np.zeros((0, 2), np.uint64)
        self.new = np.zeros(0, np.bool_)

    def add(self, requests: Requests, output_tokens: NDArray[np.int32], state: AdmissionState) -> None:
        """Take note of B requests, in order of time within each account."""
        accounts = state.accounts
        if len(requests):
            begin = float(requests.time.min())
            if math.isfinite(self.since) and begin // self.window > self.since // self.window:
                self._clear()
                self.since = math.inf
            self.since = min(self.since, begin)
        self._grow(len(accounts))
        if not len(requests):
            return
        who = np.ascontiguousarray(requests.account, np.int32)
        network = accounts.network[who] if requests.network is None else requests.network
        assert accounts.known(who).all(), "the gateway lets only known accounts through"
        _compiled()(
            np.ascontiguousarray(requests.time, np.float64),
            who,
            np.ascontiguousarray(requests.prompt, np.int64),
            np.ascontiguousarray(network, np.int32),
            np.ascontiguousarray(requests.input_tokens, np.int32),
            np.ascontiguousarray(output_tokens, np.int32),
            np.ascontiguousarray(sketch_of(state.prompts, state.memory), np.int32),
            np.ascontiguousarray(accounts.created, np.float64),
            *(self.sums, self.hours, self.seen, self.new),
        )

    def features(self, ids: NDArray[np.integer], accounts: Accounts, now: float) -> NDArray[np.float32]:
        """What is known of some accounts.

        Args:
            ids: (K,) accounts with at least one request.
            accounts: who they are.
            now: virtual seconds.

        Returns:
            (K, F) `FEATURES`: log days since the account was opened; logs of requests a day and an active hour; active hours
            over all hours since the first; entropy (nats) of requests by hour of day, and the share in the quietest eight
            hours in a row, which does not depend on a time zone; log mean gap (seconds) and its coefficient of variation;
            distinct templates a request, share of the commonest and entropy over 16 classes of templates; distinct
            networks; log mean and coefficient of variation of input and of output tokens; log dollars a day at list prices;
            requests on the first day over those of an average day (-1 where the account was opened before the window). A day
            is one when the account could be watched: since it was opened, in the window.
        """
        sums, hours = self.sums[ids], self.hours[ids].astype(np.float64)
        count = sums[:, COUNT]
        created = accounts.created[ids]
        age, days = (np.maximum(now - start, 3600.0) / DAY for start in (created, np.maximum(created, self.since)))
        first_day = np.where(created >= self.since, sums[:, EARLY] * np.maximum(days, 1.0) / count, -1.0)
        dollars = Prices().dollars(sums[:, INPUT], sums[:, OUTPUT])
        by_hour = hours / count[:, None]
        around = np.concatenate([by_hour, by_hour[:, :7]], axis=1)
        quietest = np.lib.stride_tricks.sliding_window_view(around, 8, axis=1).sum(2).min(1)
        bins = sums[:, _SUMS:] / count[:, None]
        gap, gap_cv = _moments(sums[:, GAP], sums[:, GAP2], np.maximum(count - 1, 1))
        tokens_in, input_cv = _moments(sums[:, INPUT], sums[:, INPUT2], count)
        tokens_out, output_cv = _moments(sums[:, OUTPUT], sums[:, OUTPUT2], count)
        span = np.floor(sums[:, LAST] / 3600) - np.floor(sums[:, FIRST] / 3600) + 1
        columns = (
            *(np.log(age), np.log(count / days), np.log(count / sums[:, ACTIVE]), sums[:, ACTIVE] / span),
            *(_entropy(by_hour), quietest, np.log1p(gap), gap_cv),
            *(_distinct(self.seen[ids, 0]) / count, bins.max(1), _entropy(bins), _distinct(self.seen[ids, 1])),
            *(np.log1p(tokens_in), input_cv, np.log1p(tokens_out), output_cv),
            *(np.log1p(dollars / days), first_day),
        )
        assert len(columns) == len(FEATURES), "a name for every column"
        return np.stack(columns, axis=1).astype(np.float32)

    def _grow(self, length: int) -> None:
        missing = length - len(self.new)
        if missing > 0:
            for name in ("sums", "hours", "seen", "new"):
                held = getattr(self, name)
                setattr(self, name, np.concatenate([held, np.zeros((missing, *held.shape[1:]), held.dtype)]))


def _moments(
    total: NDArray[np.float64], squares: NDArray[np.float64], count: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and coefficient of variation."""
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    return mean, deviation / np.maximum(mean, 1e-9)


def _entropy(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K,) of rows of shares, in nats."""
    return np.asarray(-(share * np.log(np.where(share > 0, share, 1.0))).sum(1))


def _distinct(bitmap: NDArray[np.uint64]) -> NDArray[np.float64]:
    """(K,) how many distinct values have set these bits, by linear counting: 64 ln(64 / clear bits)."""
    clear = np.maximum(64.0 - np.bitwise_count(bitmap), 0.5)
    return np.asarray(64.0 * np.log(64.0 / clear))


def _add(
    time: Any, who: Any, prompt: Any, network: Any, input_tokens: Any, output_tokens: Any, sketch: Any, created: Any,
    sums: Any, hours: Any, seen: Any, new: Any,
) -> None:  # fmt: skip
    for i in range(len(time)):
        account, now = who[i], time[i]
        row = sums[account]
        hour = math.floor(now / 3600.0)
        if row[COUNT] == 0.0:
            row[FIRST], row[HOUR] = now, hour - 1.0
        else:
            gap = max(now - row[LAST], 0.0)
            row[GAP] += gap
            row[GAP2] += gap * gap
        row[COUNT] += 1.0
        row[LAST] = now
        if hour > row[HOUR]:
            row[ACTIVE] += 1.0
            row[HOUR] = hour
        if now < created[account] + DAY:
            row[EARLY] += 1.0
        row[INPUT] += input_tokens[i]
        row[INPUT2] += float(input_tokens[i]) * input_tokens[i]
        row[OUTPUT] += output_tokens[i]
        row[OUTPUT2] += float(output_tokens[i]) * output_tokens[i]
        hours[account, int(hour % HOURS)] += np.float32(1.0)
        for column, value in ((0, sketch[prompt[i]]), (1, network[i])):
            word = (np.uint64(value) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
            word = (word ^ (word >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
            seen[account, column] |= np.uint64(1) << (word >> np.uint64(58))
            if column == 0:
                row[_SUMS + int((word >> np.uint64(40)) % np.uint64(BINS))] += 1.0
        new[account] = True


@cache
def _compiled() -> Callable[..., Any]:
    def array(dtype: Any, dimensions: int = 1, written: bool = False) -> Any:
        return types.Array(dtype, dimensions, "C", readonly=not written)

    reals, numbers = array(types.float64), array(types.int32)
    signature = types.void(
        *(reals, numbers, array(types.int64), numbers, numbers, numbers, numbers, reals),
        *(array(types.float64, 2, True), array(types.float32, 2, True), array(types.uint64, 2, True)),
        array(types.boolean, written=True),
    )
    return compiled_for(signature)(_add)
