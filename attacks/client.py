"""The attacker's side of the API: a budget, accounts to send from, patience after a 429. Knows nothing of what the provider
does; it sees status codes, headers and answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from attacks.budget import Budget, BudgetExceededError
from configs.errors import ConfigError, require
from lm.ragged import Ragged
from lm.randomness import mixed
from teacher.api.client import Outcome, Patience, exchange, make_requests
from teacher.api.gateway import Gateway
from teacher.api.interface import Interface
from teacher.api.rewriting import Codec
from teacher.api.schema import Params, Prompts, Responses

_DEFAULT_PARAMS = Params()
_DEFAULT_PATIENCE = Patience()


@dataclass(frozen=True)
class Harvested:
    """R responses and the prompts they answer.

    Args:
        item: (R,) int64 row of the attacker's prompts: of his pool, or a text of his own making (`Client.own`).
        responses: ``request`` numbers the requests asked for so far, refused ones included, so that it stays unique when
            harvests are joined.
        asked: how many requests that is.
        findings: what was found out besides, by name: a hidden size, a watermark's key. No training rows.
        prefill: R rows of the teacher's tokens that stood at the start of each response and are not part of it, empty where
            there was nothing; None where no request had any.
        account: (R,) int64 row of `Client.accounts` that asked for each; None where nobody kept it.
    """

    item: NDArray[np.int64]
    responses: Responses
    asked: int
    findings: Mapping[str, float] = field(default_factory=dict)
    prefill: Ragged | None = None
    account: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.item)

    def take(self, rows: NDArray[np.integer]) -> Harvested:
        """The given responses, in that order."""
        return replace(
            self,
            item=self.item[rows],
            responses=self.responses.take(rows),
            prefill=None if self.prefill is None else self.prefill.take(rows),
            account=None if self.account is None else self.account[rows],
        )

    @classmethod
    def concat(cls, parts: Sequence[Harvested]) -> Harvested:
        """Responses of all parts (one at least), in order; requests are renumbered. Later findings replace earlier ones."""
        offsets = np.concatenate([[0], np.cumsum([p.asked for p in parts])])
        moved = [replace(p.responses, request=p.responses.request + o) for p, o in zip(parts, offsets, strict=False)]
        found = {name: value for part in parts for name, value in part.findings.items()}
        item, responses = np.concatenate([p.item for p in parts]), Responses.concat(moved)
        return cls(item, responses, int(offsets[-1]), found, _prefills(parts), _accounts(parts))


def _prefills(parts: Sequence[Harvested]) -> Ragged | None:
    if all(part.prefill is None for part in parts):
        return None
    return Ragged.concat([Ragged.of([()] * len(p)) if p.prefill is None else p.prefill for p in parts])


def _accounts(parts: Sequence[Harvested]) -> NDArray[np.int64] | None:
    if all(part.account is None for part in parts):
        return None
    return np.concatenate([np.full(len(p), -1) if p.account is None else p.account for p in parts])


class Client:
    """Sends an attack's requests through the gateway, in turn from its accounts, at its pace, within its budget.

    Args:
        gateway: the API.
        prompts: in the teacher's tokens; the first ``pool`` of them are the attacker's, which items are rows of.
        budget: what may be spent.
        params: parameters of every request unless `ask` says otherwise (``max_tokens``, ``temperature``).
        seed: of the sampling noise; the same seed gives the same noise under every defense.
        patience: what to do about a 429.
        start: virtual second at which the campaign starts.
        accounts: (budget.accounts,) ids to send from; None signs up for new ones at ``start``.
        pool: how many prompts the attacker owns; None for all.
        encode: puts texts into the chat template and the teacher's tokens; needed for texts of the attacker's own.
        interface: what he takes the API to sell; None for what it does sell.
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
        pool: int | None = None,
        encode: Callable[[Sequence[str]], Ragged] | None = None,
        interface: Interface | None = None,
    ) -> None:
        self.pool = len(prompts.tokens) if pool is None else pool
        self._first_own, self._encode = len(prompts.tokens), encode
        self.prompts, self.budget, self.params, self.seed, self.patience = prompts, budget, params, seed, patience
        self.accounts = gateway.accounts.open(budget.accounts, start, genuine=False) if accounts is None else accounts
        self.outcomes: list[Outcome] = []
        self.deadline = start + 3600.0 * budget.hours
        self._gateway, self._known = gateway, interface
        self._asked = 0
        self._times_asked = np.zeros(len(prompts.tokens), np.int64)
        self._free = np.full(len(self.accounts), float(start))

    @property
    def interface(self) -> Interface:
        """What the API sells, as its documentation says, or what is taken for it where that is not known."""
        return self._gateway.interface if self._known is None else self._known

    @property
    def remaining(self) -> int:
        """Queries left."""
        return self.budget.queries - self._asked

    @property
    def dollars(self) -> float:
        """What these accounts have been billed so far."""
        return float(self._gateway.accounts.spend[self.accounts].sum())

    @property
    def codec(self) -> Codec:
        """The teacher's tokenizer, which is public."""
        return self._gateway.backend.codec

    @property
    def vocabulary(self) -> int:
        """V: how many tokens that has."""
        return self._gateway.backend.vocabulary

    def own(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Items (T,) for texts of the attacker's own making, to be asked as those of the pool are. Nothing is sent yet; each
        counts towards the data budget when it is asked."""
        if self._encode is None:
            reason = (
                "texts cannot be asked here: the harvest does not say `own_texts`, or the client has no chat template"
            )
            raise ConfigError("own", len(texts), reason)
        first = len(self.prompts.tokens)
        self.prompts = self.prompts.and_also(texts, self._encode(texts))
        self._times_asked = np.concatenate([self._times_asked, np.zeros(len(texts), np.int64)])
        return np.arange(first, first + len(texts))

    @property
    def owned(self) -> list[str]:
        """The texts of the attacker's own making so far."""
        return list(self.prompts.texts[self._first_own :])

    def ask(
        self,
        items: NDArray[np.integer],
        *,
        temperature: float | NDArray[np.float64] | None = None,
        n: int | NDArray[np.int64] = 1,
        max_tokens: int | NDArray[np.int64] | None = None,
        seeds: NDArray[np.int64] | None = None,
        seeded: bool = False,
        prefill: str | Sequence[str] = "",
        logit_bias: Mapping[int, float] | Sequence[Mapping[int, float]] | None = None,
        top_logprobs: int | None = None,
        elicits: bool | Sequence[bool] = False,
        accounts: NDArray[np.integer] | None = None,
    ) -> Harvested:
        """Send one request for each item and wait for what can be had before the campaign ends.

        Every item counts as one query, finally refused ones too; retries do not count. A parameter may have a value a
        request.

        Args:
            items: (B,) rows of the pool, or of `own`; repeats allowed.
            temperature: sampling temperature; None for the client's own.
            n: responses per request.
            max_tokens: most tokens of a response; None for the client's own.
            seeds: (B,) sampling seeds, with ``seeded`` only; None derives them from the client's seed, the item and how
                often it was asked before.
            seeded: set the seed through the API; otherwise the provider's noise is what it is.
            prefill: text put at the start of the assistant's turn; kept in `Harvested.prefill`.
            logit_bias: added to the logits, by token id.
            top_logprobs: logprobs per token; None for as many as are sold.
            elicits: whether a request asks for the steps in the visible answer (`Params.elicits`).
            accounts: (B,) rows of ``self.accounts`` that ask; None for all in turn.

        Raises:
            BudgetExceededError: over the query or the data budget; nothing is sent.
            ConfigError: items outside the pool, accounts that are none, or seeds without ``seeded``; nothing is sent.
            ApiError: something that the interface does not sell; nothing is counted.
        """
        rows = np.asarray(items).astype(np.int64)
        self._check(rows, seeds, seeded)
        wanted = self.interface.top_logprobs if top_logprobs is None else top_logprobs
        params = replace(
            self.params,
            temperature=self.params.temperature if temperature is None else temperature,
            n=n,
            max_tokens=self.params.max_tokens if max_tokens is None else max_tokens,
            seeded=seeded,
            prefill=prefill,
            logit_bias=logit_bias or {},
            top_logprobs=wanted,
            elicits=elicits,
        )
        got = self._exchanged(rows, params, seeds, accounts=accounts)
        if not any(params.prefills):
            return got
        texts = [prefill] * len(rows) if isinstance(prefill, str) else list(prefill)
        return replace(got, prefill=self.codec.encode(texts).take(got.responses.request))

    def score(
        self,
        items: NDArray[np.integer],
        completions: Ragged,
        *,
        temperature: float = 1.0,
        logit_bias: Mapping[int, float] | Sequence[Mapping[int, float]] | None = None,
    ) -> Harvested:
        """Have completions scored: how probable each of their tokens was under the API, its defenses included.

        Every item counts as one query. Completions are billed as input.

        Args:
            items: (B,) rows of the pool, or of `own`; repeats allowed.
            completions: B rows of the teacher's tokens, none empty.
            temperature: of the distributions.
            logit_bias: added to the logits before the logprobs are taken, by token id; one for all, or one a request.

        Returns:
            B responses less those refused: the completions' own tokens, with ``logprob`` and as many top logprobs as are
            sold, as far as the provider shows them.

        Raises:
            BudgetExceededError: over the query or the data budget; nothing is sent.
            ConfigError: items outside the pool, or completions that do not go with them; nothing is sent.
            ApiError: completions are not scored by this API, or it sells no logit bias; nothing is counted.
        """
        rows = np.asarray(items).astype(np.int64)
        require(
            len(completions) == len(rows) and bool(completions.lengths.all()),
            "completions",
            len(completions),
            f"must be {len(rows)}, one an item, none empty",
        )
        self._check(rows, None, seeded=False)
        most = self.interface.top_logprobs
        params = replace(
            self.params, temperature=temperature, top_logprobs=most, logit_bias=logit_bias or {}, scored=True
        )
        return self._exchanged(rows, params, None, completions)

    def _exchanged(
        self,
        rows: NDArray[np.int64],
        params: Params,
        seeds: NDArray[np.int64] | None,
        completions: Ragged | None = None,
        accounts: NDArray[np.integer] | None = None,
    ) -> Harvested:
        """Send one request for each item, and book what it cost."""
        times, account = self._schedule(len(rows), accounts)
        noise = self._noise(rows) if seeds is None else seeds
        requests = make_requests(self.prompts, rows, times, self.accounts[account], noise)
        if completions is not None:
            lengths = requests.input_tokens + completions.lengths.astype(np.int32)
            requests = replace(requests, input_tokens=lengths)
        got = exchange(
            self._gateway,
            requests,
            self.prompts,
            params,
            self.patience,
            deadline=self.deadline,
            closed_loop=True,
            completions=completions,
        )
        self._asked += len(rows)
        np.add.at(self._times_asked, rows, 1)
        gap = 60.0 / self.budget.rate
        np.maximum.at(self._free, account, times + gap)
        np.maximum.at(self._free, account, got.outcome.requests.time)
        self.outcomes.append(got.outcome)
        asked = got.responses.request
        return Harvested(rows[asked], got.responses, len(rows), account=account[asked])

    def _check(self, items: NDArray[np.int64], seeds: NDArray[np.int64] | None, seeded: bool) -> None:
        known = (items >= 0) & ((items < self.pool) | ((items >= self._first_own) & (items < len(self._times_asked))))
        if not known.all():
            outside = int(items[~known][0])
            raise ConfigError("items", outside, f"is not a row of the attacker's pool of {self.pool} prompts")
        if seeds is not None and not seeded:
            raise ConfigError("seeds", "given", "needs seeded=True: only then does the provider use a client's seeds")
        if self._asked + len(items) > self.budget.queries:
            raise BudgetExceededError("queries", self._asked + len(items), self.budget.queries)
        distinct = int((self._times_asked > 0).sum() + (self._times_asked[np.unique(items)] == 0).sum())
        if distinct > self.budget.data:
            raise BudgetExceededError("data", distinct, self.budget.data)

    def _schedule(
        self, count: int, chosen: NDArray[np.integer] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Planned time and account (row of ``self.accounts``) of the next ``count`` requests, in turn over accounts unless
        they are ``chosen``."""
        if chosen is not None:
            account = np.asarray(chosen).astype(np.int64)
            there = len(account) == count and bool(((account >= 0) & (account < len(self.accounts))).all())
            reason = f"must be {count} rows of the client's {len(self.accounts)} accounts, one a request"
            require(there, "accounts", account.tolist()[:8], reason)
            return self._free[account] + _repeats(account) * 60.0 / self.budget.rate, account
        turn = self._asked + np.arange(count)
        account = turn % len(self.accounts)
        place = turn // len(self.accounts) - self._asked // len(self.accounts)
        place -= account < self._asked % len(self.accounts)
        return self._free[account] + place * 60.0 / self.budget.rate, account

    def _noise(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """(B,) seed of each request, from the client's seed, the item and the how-manieth time it is asked."""
        repeat = _repeats(items) + self._times_asked[items]
        word = mixed(mixed(mixed(np.array([self.seed], np.uint64)) ^ items.astype(np.uint64)))
        return (mixed(word ^ repeat.astype(np.uint64)) >> np.uint64(1)).astype(np.int64)


def _repeats(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """(B,) how often each value, none of them negative, stands before it."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=-1))
    repeat = np.empty(len(values), np.int64)
    repeat[order] = np.arange(len(values)) - np.repeat(starts, np.diff(np.append(starts, len(values))))
    return repeat
