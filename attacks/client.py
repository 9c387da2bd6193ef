"""The attacker's side of the API: a budget, accounts to send from, patience after a 429. Knows nothing of what the provider
does; it sees status codes, headers and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from attacks.budget import Budget, BudgetExceededError
from configs.errors import ConfigError
from lm.randomness import mixed
from teacher.api.client import Outcome, Patience, exchange, make_requests
from teacher.api.gateway import Gateway
from teacher.api.interface import Interface
from teacher.api.schema import Params, Prompts, Responses

_DEFAULT_PARAMS = Params()
_DEFAULT_PATIENCE = Patience()


@dataclass(frozen=True)
class Harvested:
    """R responses and the prompts they answer.

    Args:
        item: (R,) int64 row of the attacker's pool.
        responses: ``request`` numbers the requests asked for so far, refused ones included, so that it stays unique when
            harvests are joined.
        asked: how many requests that is.
    """

    item: NDArray[np.int64]
    responses: Responses
    asked: int

    def __len__(self) -> int:
        return len(self.item)

    def take(self, rows: NDArray[np.integer]) -> Harvested:
        """The given responses, in that order."""
        return replace(self, item=self.item[rows], responses=self.responses.take(rows))

    @classmethod
    def concat(cls, parts: Sequence[Harvested]) -> Harvested:
        """Responses of all parts (one at least), in order; requests are renumbered."""
        offsets = np.concatenate([[0], np.cumsum([p.asked for p in parts])])
        moved = [replace(p.responses, request=p.responses.request + o) for p, o in zip(parts, offsets, strict=False)]
        return cls(np.concatenate([p.item for p in parts]), Responses.concat(moved), int(offsets[-1]))


class Client:
    """Sends an attack's requests through the gateway, in turn from its accounts, at its pace, within its budget.

    Args:
        gateway: the API.
        prompts: the attacker's pool in the teacher's tokens; items are its rows.
        budget: what may be spent.
        params: parameters of every request unless `ask` says otherwise (``max_tokens``).
        seed: of the sampling noise; the same seed gives the same noise under every defense.
        patience: what to do about a 429.
        start: virtual second at which the campaign starts.
        accounts: (budget.accounts,) ids to send from; None signs up for new ones at ``start``.
    """

    def __init__(
        self,
        gateway: Gateway,
        prompts: Prompts,
        budget: Budget,
        params: Params = _DEFAULT_PARAMS,
        seed: int = 0,
        patience: Patience = _DEFAULT_PATIENCE,
        start: float = 0.0,
        accounts: NDArray[np.int32] | None = None,
    ) -> None:
        self.prompts, self.budget, self.params, self.seed, self.patience = prompts, budget, params, seed, patience
        self.accounts = gateway.accounts.open(budget.accounts, start, genuine=False) if accounts is None else accounts
        self.outcomes: list[Outcome] = []
        self.deadline = start + 3600.0 * budget.hours
        self._gateway = gateway
        self._asked = 0
        self._times_asked = np.zeros(len(prompts.tokens), np.int64)
        self._free = np.full(len(self.accounts), float(start))

    @property
    def interface(self) -> Interface:
        """What the API sells, as its documentation says."""
        return self._gateway.interface

    @property
    def remaining(self) -> int:
        """Queries left."""
        return self.budget.queries - self._asked

    def ask(
        self,
        items: NDArray[np.integer],
        *,
        temperature: float = 1.0,
        n: int = 1,
        seeds: NDArray[np.int64] | None = None,
        seeded: bool = False,
        prefill: str = "",
        logit_bias: Mapping[int, float] | None = None,
        top_logprobs: int | None = None,
    ) -> Harvested:
        """Send one request for each item and wait for what can be had before the campaign ends.

        Every item counts as one query, finally refused ones too; retries do not count.

        Args:
            items: (B,) rows of the pool; repeats allowed.
            temperature: sampling temperature.
            n: responses per request.
            seeds: (B,) sampling seeds, with ``seeded`` only; None derives them from the client's seed, the item and how
                often it was asked before.
            seeded: set the seed through the API; otherwise the provider's noise is what it is.
            prefill: text put at the start of the assistant's turn.
            logit_bias: added to the logits, by token id.
            top_logprobs: logprobs per token; None for as many as are sold.

        Raises:
            BudgetExceededError: over the query or the data budget; nothing is sent.
            ConfigError: items outside the pool, or seeds without ``seeded``; nothing is sent.
            ApiError: something that the interface does not sell; nothing is counted.
        """
        rows = np.asarray(items).astype(np.int64)
        self._check(rows, seeds, seeded)
        wanted = self.interface.top_logprobs if top_logprobs is None else top_logprobs
        params = replace(
            self.params,
            temperature=temperature,
            n=n,
            seeded=seeded,
            prefill=prefill,
            logit_bias=dict(logit_bias or {}),
            top_logprobs=wanted,
        )
        times, account = self._schedule(len(rows))
        noise = self._noise(rows) if seeds is None else seeds
        requests = make_requests(self.prompts, rows, times, self.accounts[account], noise)
        got = exchange(
            self._gateway, requests, self.prompts, params, self.patience, deadline=self.deadline, closed_loop=True
        )
        self._asked += len(rows)
        np.add.at(self._times_asked, rows, 1)
        gap = 60.0 / self.budget.rate
        np.maximum.at(self._free, account, times + gap)
        np.maximum.at(self._free, account, got.outcome.requests.time)
        self.outcomes.append(got.outcome)
        return Harvested(rows[got.responses.request], got.responses, len(rows))

    def _check(self, items: NDArray[np.int64], seeds: NDArray[np.int64] | None, seeded: bool) -> None:
        pool = len(self._times_asked)
        if len(items) and not (items.min() >= 0 and items.max() < pool):
            outside = items[(items < 0) | (items >= pool)]
            raise ConfigError("items", int(outside[0]), f"is not a row of the attacker's pool of {pool} prompts")
        if seeds is not None and not seeded:
            raise ConfigError("seeds", "given", "needs seeded=True: only then does the provider use a client's seeds")
        if self._asked + len(items) > self.budget.queries:
            raise BudgetExceededError("queries", self._asked + len(items), self.budget.queries)
        distinct = int((self._times_asked > 0).sum() + (self._times_asked[np.unique(items)] == 0).sum())
        if distinct > self.budget.data:
            raise BudgetExceededError("data", distinct, self.budget.data)

    def _schedule(self, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Planned time and account (row of ``self.accounts``) of the next ``count`` requests, in turn over accounts."""
        turn = self._asked + np.arange(count)
        account = turn % len(self.accounts)
        place = turn // len(self.accounts) - self._asked // len(self.accounts)
        place -= account < self._asked % len(self.accounts)
        return self._free[account] + place * 60.0 / self.budget.rate, account

    def _noise(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """(B,) seed of each request, from the client's seed, the item and the how-manieth time it is asked."""
        order = np.argsort(items, kind="stable")
        starts = np.flatnonzero(np.diff(items[order], prepend=-1))
        repeat = np.empty(len(items), np.int64)
        repeat[order] = np.arange(len(items)) - np.repeat(starts, np.diff(np.append(starts, len(items))))
        repeat += self._times_asked[items]
        word = mixed(mixed(mixed(np.array([self.seed], np.uint64)) ^ items.astype(np.uint64)))
        return (mixed(word ^ repeat.astype(np.uint64)) >> np.uint64(1)).astype(np.int64)
