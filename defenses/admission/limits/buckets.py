"""The compiled loop of `defenses.admission.limits.token_bucket`: requests one after the other against buckets and caps.

What an organisation's requests may take depends on no other organisation's, so threads share a batch out by organisation and
its order need not change. Knows nothing of accounts tables, ledgers or verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from lm.compiled import compiled, compiled_for
from teacher.api.clock import DAY

KINDS = 3
"""Buckets of an owner: requests, input tokens, output tokens."""
DAILY_CAP, MONTHLY_CAP, COLUMNS = 2 * KINDS, 2 * KINDS + 1, 2 * KINDS + 2
"""A row of `limits`: refill per second of each bucket, then the capacity of each (inf: no such bucket), then dollars a day
and a month."""
TOO_LARGE, DAILY, MONTHLY = 3, 4, 5
SLACK = 1e-9
_SINCE = KINDS
_THREADS, _WORTH_A_THREAD = 2, 100_000


class Rows(NamedTuple):
    """B requests in the order in which they are judged.

    Args:
        time: (B,) float64 seconds.
        account: (B,) int32.
        organisation: (accounts,) int32 dense number of each account's organisation.
        input_tokens: (B,) int32.
        output_tokens: (B,) or (1,) int32 reserved.
        level: (B,) int16 row of the limits that hold for each.
    """

    time: NDArray[np.float64]
    account: NDArray[np.int32]
    organisation: NDArray[np.int32]
    input_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    level: NDArray[np.int16]


class Spending(NamedTuple):
    """Dollars against the caps; (0,) and (0, 0) arrays where nothing is capped.

    Args:
        dollars: (B,) float64 what each request reserves.
        day: (B,) int32 row of ``daily``.
        month: (B,) int32 row of ``monthly``.
        daily: (days, owners) float64 spent so far by each owner; added to.
        monthly: (months, owners) float64; added to.
    """

    dollars: NDArray[np.float64]
    day: NDArray[np.int32]
    month: NDArray[np.int32]
    daily: NDArray[np.float64]
    monthly: NDArray[np.float64]

    @classmethod
    def uncapped(cls) -> Spending:
        """Nothing to count."""
        number, none = np.zeros(0, np.int32), np.zeros((0, 0))
        return cls(np.zeros(0), number, number, none, none)


def empty(owners: int) -> NDArray[np.float64]:
    """(owners, 4) buckets that nobody has drawn on: what each holds, and since when (NaN: never used)."""
    held = np.full((owners, KINDS + 1), math.inf)
    held[:, _SINCE] = math.nan
    return held


def judge(
    rows: Rows,
    limits: NDArray[np.float64],
    by_account: NDArray[np.float64],
    by_organisation: NDArray[np.float64],
    spending: Spending,
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Judge requests in order; those that are admitted are taken from the buckets and added to the spending.

    Args:
        rows: the requests.
        limits: (levels, 8) see `COLUMNS`.
        by_account: (accounts, 4) buckets, changed in place; (0, 4) where accounts have none.
        by_organisation: (organisations, 4) likewise. With one that is not empty, caps are the organisation's.
        spending: what counts against caps.

    Returns:
        (B,) why each is refused: `TOO_LARGE`, `DAILY`, `MONTHLY` or the bucket that takes longest to refill; -1 if
        admitted.
        (B,) whole seconds until the buckets, left alone, hold enough; NaN where waiting does not help.
    """
    count = len(rows.time)
    code, wait = np.full(count, -1, np.int8), np.full(count, math.nan)
    run, shares = _compiled(), _THREADS if count >= _THREADS * _WORTH_A_THREAD else 1
    given = (*rows, limits, by_account, by_organisation, *spending)
    if shares == 1:
        run(*given, 0, 1, code, wait)
    else:
        with ThreadPoolExecutor(shares) as pool:
            for done in [pool.submit(run, *given, share, shares, code, wait) for share in range(shares)]:
                done.result()
    return code, wait


def _judge(
    time: NDArray[np.float64],
    account: NDArray[np.int32],
    organisation: NDArray[np.int32],
    input_tokens: NDArray[np.int32],
    output_tokens: NDArray[np.int32],
    level: NDArray[np.int16],
    limits: NDArray[np.float64],
    by_account: NDArray[np.float64],
    by_organisation: NDArray[np.float64],
    dollars: NDArray[np.float64],
    day: NDArray[np.int32],
    month: NDArray[np.int32],
    daily: NDArray[np.float64],
    monthly: NDArray[np.float64],
    share: int,
    shares: int,
    code: NDArray[np.int8],
    wait: NDArray[np.float64],
) -> None:
    """The rows of every ``shares``-th block of organisations. Blocks, so that threads write to cache lines of their own."""
    first = 0 if len(by_account) else 1
    last = 1 if len(by_organisation) else 0
    capped = len(dollars) > 0
    each = len(output_tokens) == len(time)
    for i in range(len(time)):
        group = organisation[account[i]]
        if (group >> 4) % shares != share:
            continue
        at = level[i]
        owner = group if last else account[i]
        if capped:
            if daily[day[i], owner] + dollars[i] > limits[at, DAILY_CAP] + SLACK:
                code[i] = DAILY
                continue
            if monthly[month[i], owner] + dollars[i] > limits[at, MONTHLY_CAP] + SLACK:
                code[i] = MONTHLY
                continue
        longest = 0.0
        for scope in range(first, last + 1):
            held = by_organisation if scope else by_account
            who = group if scope else account[i]
            since = held[who, _SINCE]
            passed = max(0.0, time[i] - since) if since == since else 0.0  # NaN at the first request
            held[who, _SINCE] = since + passed if since == since else time[i]
            for kind in range(KINDS):
                rate, capacity = limits[at, kind], limits[at, KINDS + kind]
                if capacity == math.inf:
                    continue
                have = min(capacity, held[who, kind] + rate * passed)
                held[who, kind] = have
                cost = 1.0 if kind == 0 else float(input_tokens[i] if kind == 1 else output_tokens[i if each else 0])
                short = cost - have
                if short > SLACK:
                    if cost > capacity + SLACK:
                        code[i], longest = TOO_LARGE, math.inf
                    elif short / rate > longest:
                        code[i], longest = kind, short / rate
        if longest > 0.0:
            if longest < math.inf:
                wait[i] = math.ceil(longest)
            continue
        for scope in range(first, last + 1):
            held = by_organisation if scope else by_account
            who = group if scope else account[i]
            for kind in range(KINDS):
                if limits[at, KINDS + kind] < math.inf:
                    cost = (
                        1.0 if kind == 0 else float(input_tokens[i] if kind == 1 else output_tokens[i if each else 0])
                    )
                    held[who, kind] -= cost
        if capped:
            daily[day[i], owner] += dollars[i]
            monthly[month[i], owner] += dollars[i]


@cache
def _compiled() -> Callable[..., Any]:
    """One version for all arrays, writeable or not. Rounds as Python does: no fast mathematics."""

    def array(dtype: Any, dimensions: int = 1, written: bool = False) -> Any:
        return types.Array(dtype, dimensions, "C", readonly=not written)

    reals, numbers = array(types.float64), array(types.int32)
    tables = array(types.float64, 2, written=True)
    signature = types.void(
        *(reals, numbers, numbers, numbers, numbers, array(types.int16)),
        *(array(types.float64, 2), tables, tables),
        *(reals, numbers, numbers, tables, tables),
        *(types.int64, types.int64, array(types.int8, written=True), array(types.float64, written=True)),
    )
    return compiled_for(signature)(_judge)


@compiled
def promote(time: Any, account: Any, created: Any, spend: Any, entry: Any, tier: Any, reached: Any) -> None:
    """Raise ``tier`` (B,) to the highest whose spend and age (T, 2) a request's account has reached, and ``reached``
    (accounts,) with it."""
    for i in range(len(time)):
        a = account[i]
        for number in range(len(entry), tier[i], -1):
            if spend[a] >= entry[number - 1, 0] and (time[i] - created[a]) / DAY >= entry[number - 1, 1]:
                tier[i] = number
                break
        reached[a] = max(reached[a], tier[i])
