"""The client library that honest users and attackers share: it sends requests at planned times, obeys 429 and
``retry-after``, and fetches all admitted answers in one batch. Knows nothing of who uses it or what the provider does.

Time is the virtual clock's. How long the teacher takes to answer is not modelled: an admitted request frees its connection
at once.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from lm.ragged import Ragged
from teacher.api.errors import ApiError, error_reply
from teacher.api.gateway import Gateway
from teacher.api.schema import BAD_REQUEST, RATE_LIMITED, Params, Prompts, Requests, Responses, Verdicts

NOT_SENT = 0
"""Status of a request that was still waiting for its connection at the deadline."""
RESOLUTION = 1.0
"""Seconds of virtual time judged in one round. ``retry-after`` is in whole seconds, so no retry falls within a round."""


@dataclass(frozen=True)
class Patience:
    """What a client does about a 429.

    The first retry comes exactly after ``retry-after``; every further one waits ``backoff`` times longer than it says. A
    429 without ``retry-after`` (a spend cap, a hard quota) is final, as are 401 and 403.

    Args:
        max_wait: most seconds between a request's first and last attempt.
        backoff: factor, at least 1.
        retries: most attempts after the first.
    """

    max_wait: float = 3600.0
    backoff: float = 2.0
    retries: int = 8

    def __post_init__(self) -> None:
        require(self.max_wait >= 0, "patience.max_wait", self.max_wait, "must be at least 0")
        require(self.backoff >= 1, "patience.backoff", self.backoff, "must be at least 1")
        require(self.retries >= 0, "patience.retries", self.retries, "must be at least 0")


@dataclass(frozen=True)
class Outcome:
    """What became of B requests.

    Args:
        requests: as last sent: ``time`` is that of the last attempt (the planned one where there was none).
        verdicts: the last verdict of each; status `NOT_SENT` and reason "not_sent" where it never left.
        waited: (B,) float64 seconds from the planned time to the last verdict, or to the deadline where it never left.
        attempts: (B,) int32.
    """

    requests: Requests
    verdicts: Verdicts
    waited: NDArray[np.float64]
    attempts: NDArray[np.int32]

    @property
    def admitted(self) -> NDArray[np.int64]:
        """Rows of the admitted requests, in order of time."""
        rows = np.flatnonzero(self.verdicts.ok)
        return rows[np.argsort(self.requests.time[rows], kind="stable")]


class Exchange(NamedTuple):
    """What was sent and what came back; ``responses.request`` is a row of ``outcome.requests``."""

    outcome: Outcome
    responses: Responses


def make_requests(
    prompts: Prompts,
    rows: NDArray[np.integer],
    time: NDArray[np.float64],
    account: NDArray[np.integer],
    seed: NDArray[np.int64],
) -> Requests:
    """Requests for these rows (B,) of ``prompts``, with their input tokens counted."""
    lengths = prompts.tokens.lengths[rows].astype(np.int32)
    return Requests(
        np.asarray(time, np.float64), account.astype(np.int32), rows.astype(np.int64), lengths, seed.astype(np.int64)
    )


def send(
    gateway: Gateway,
    requests: Requests,
    prompts: Prompts,
    params: Params,
    patience: Patience,
    deadline: float = math.inf,
    closed_loop: bool = False,
) -> Outcome:
    """Get requests admitted, each at its planned time or as soon after it as the API allows.

    Args:
        gateway: the API.
        requests: B, with planned times in any order.
        prompts: what they index.
        params: of all requests.
        patience: what to do about a 429.
        deadline: virtual second after which nothing is sent.
        closed_loop: one connection an account: a request that waits holds up the later ones of its account. Otherwise
            every request is on its own, as arrivals from many people are.

    Raises:
        ApiError: the parameters are refused with a 400 (they are the same for all, so nothing else is tried).
    """
    count, order = len(requests), np.argsort(requests.time, kind="stable").tolist()
    planned, account = requests.time.tolist(), requests.account.tolist()
    queues: defaultdict[int, list[int]] = defaultdict(list)
    hold_up = closed_loop and gateway.limited
    for row in reversed(order):
        queues[account[row] if hold_up else row].append(row)
    heap = [(planned[queue[-1]], lane) for lane, queue in queues.items()]
    heapq.heapify(heap)
    first, last, attempts = [math.nan] * count, list(planned), [0] * count
    status, retry_after, reason = [NOT_SENT] * count, [math.nan] * count, ["not_sent"] * count
    marked = np.zeros(count, np.bool_)
    span = RESOLUTION if gateway.limited else math.inf

    while heap and heap[0][0] <= deadline:
        end = heap[0][0] + span
        due: list[tuple[float, int]] = []
        while heap and heap[0][0] <= deadline and (heap[0][0] < end or not due):
            due.append(heapq.heappop(heap))
        rows = [queues[lane][-1] for _, lane in due]
        batch = replace(requests.take(np.array(rows)), time=np.array([now for now, _ in due]))
        verdicts = gateway.admit(batch, prompts, params.take(np.array(rows)))
        marked[rows] = verdicts.marked
        said = zip(verdicts.status.tolist(), verdicts.retry_after.tolist(), verdicts.reason.tolist(), strict=True)
        for (now, lane), row, (code, wait, why) in zip(due, rows, said, strict=True):
            if code == BAD_REQUEST:
                raise ApiError(error_reply(verdicts, 0, f"req_{len(gateway.ledger):012x}"))
            if not attempts[row]:
                first[row] = now
            attempts[row] += 1
            last[row], status[row], retry_after[row], reason[row] = now, code, wait, why
            again = now + wait * patience.backoff ** (attempts[row] - 1)
            if code == RATE_LIMITED and attempts[row] <= patience.retries and again - first[row] <= patience.max_wait:
                heapq.heappush(heap, (again, lane))
                continue
            queues[lane].pop()
            if queues[lane]:
                heapq.heappush(heap, (max(now, planned[queues[lane][-1]]), lane))

    made = np.array(attempts, np.int32)
    times = np.array(last, np.float64)
    left = np.maximum(0.0, deadline - requests.time) if math.isfinite(deadline) else np.zeros(count)
    return Outcome(
        requests=replace(requests, time=times),
        verdicts=Verdicts(
            np.array(status, np.int16), np.array(retry_after, np.float32), np.array(reason, object), marked
        ),
        waited=np.where(made > 0, times - requests.time, left),
        attempts=made,
    )


def exchange(
    gateway: Gateway,
    requests: Requests,
    prompts: Prompts,
    params: Params,
    patience: Patience,
    deadline: float = math.inf,
    closed_loop: bool = False,
    completions: Ragged | None = None,
) -> Exchange:
    """`send`, then complete everything that was admitted in one batch; see `send` for arguments and errors.

    Responses come in the order of ``requests``, n neighbours a request. With ``completions``, a row a request, these are
    scored in the place of an answer (`Gateway.complete`).
    """
    outcome = send(gateway, requests, prompts, params, patience, deadline, closed_loop)
    admitted = outcome.admitted
    scored = None if completions is None else completions.take(admitted)
    responses = gateway.complete(outcome.requests.take(admitted), prompts, params.take(admitted), scored)
    responses = replace(responses, request=admitted[responses.request])
    return Exchange(outcome, responses.take(np.argsort(responses.request, kind="stable")))
