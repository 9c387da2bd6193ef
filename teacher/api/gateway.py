"""The gateway: every call to the teacher, from attackers and honest users alike, goes through here. It can tell them apart
by nothing but what a provider observes.

Two steps: `Gateway.admit` judges requests, `Gateway.complete` answers the admitted ones, so that thousands can be judged
one after the other on the virtual clock and then be generated in one batch. It calls the hooks of defenses
(`teacher.api.hooks`) and knows no single one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from lm.passes import RELEASE, by_others
from lm.ragged import Ragged
from lm.types import Channel, Generations, ResponseFormat
from teacher.api.accounts import Accounts
from teacher.api.admission import Admission
from teacher.api.clock import VirtualClock
from teacher.api.hooks import Hooks, Prepared, ReleaseContext, RequestFacts, Serving, hooks_of, require_sold
from teacher.api.interface import Interface
from teacher.api.ledger import Ledger
from teacher.api.prices import Prices
from teacher.api.rewriting import Codec
from teacher.api.schema import Params, Prompts, Requests, Responses, Verdicts
from teacher.api.visible import visible

MAX_TEMPERATURE = 2.0
MOST_READ = 2**31
"""Bytes of logprobs that one batch may have for defenses to read: more would not fit beside the models."""


class Backend(Protocol):
    """Whatever samples from the teacher, decoding defenses included."""

    @property
    def vocabulary(self) -> int:
        """V: ids of tokens are below this."""
        ...

    @property
    def codec(self) -> Codec:
        """From the teacher's tokens to text and back."""
        ...

    def serving(self, name: str) -> Serving:
        """What the named defense can use, its memory aside."""
        ...

    def complete(
        self,
        prompts: Prompts,
        requests: Requests,
        params: Params,
        asked: RequestFacts,
        completions: Ragged | None = None,
    ) -> Generations:
        """``params.n`` responses a request, request-major (the responses of a request are neighbours), with at least
        ``params.top_logprobs`` logprobs a token, most probable first. ``asked`` has a row a request. ``completions``, where
        they are given, are scored instead of drawn."""
        ...


class Others(Protocol):
    """Whoever calls the same API and does not wait for anybody (`teacher.api.crowd.Crowd`)."""

    due: float
    """Virtual second of their next attempt, inf when all is over."""

    def advance(self, until: float) -> None:
        """Judge everything of theirs that falls due before ``until``."""
        ...


class Gateway:
    """One API: an interface that is sold, a stack of defenses, accounts, prices and a ledger.

    Args:
        backend: samples from the teacher.
        interface: what is sold.
        defenses: by name, in the order in which they act; empty for none.
        prices: what tokens cost.
        format: how the teacher's responses spell working and answers.
        accounts: who may call; empty at first if not given.
        clock: virtual time; starts at 0 if not given.
        ledger: log of every attempt; empty at first if not given.
        seed: of the draws of admission and release defenses.
        prepared: see `Admission`.

    Attributes:
        others: who calls too; what they send before a request that `admit` gets is judged before it.

    Raises:
        ConfigError: a defense needs something that the interface does not sell.
    """

    def __init__(
        self,
        backend: Backend,
        interface: Interface,
        defenses: Mapping[str, Hooks],
        prices: Prices,
        format: ResponseFormat,
        accounts: Accounts | None = None,
        clock: VirtualClock | None = None,
        ledger: Ledger | None = None,
        seed: int = 0,
        prepared: Mapping[str, Prepared] = MappingProxyType({}),
    ) -> None:
        require_sold(defenses, interface)
        self.backend, self.interface, self.prices, self.format, self.seed = backend, interface, prices, format, seed
        self.defenses = dict(defenses)
        self.accounts = Accounts() if accounts is None else accounts
        self.clock = VirtualClock() if clock is None else clock
        self.ledger = Ledger() if ledger is None else ledger
        self.others: Others | None = None
        self._admission = Admission(defenses, self.accounts, prices, self.clock, self.ledger, seed, prepared)

    @property
    def limited(self) -> bool:
        """Whether any defense judges requests; if not, the order in which they arrive cannot matter."""
        return bool(self._admission.limits)

    @property
    def shut_out(self) -> NDArray[np.bool_]:
        """(A,) which accounts are banned, or get nothing more because a defense suspects or has rejected them."""
        return self._admission.shut_out

    def admit(self, requests: Requests, prompts: Prompts, params: Params) -> Verdicts:
        """Judge B requests and log them, each after whatever `others` send before it.

        Args:
            requests: in order of time.
            prompts: what `Requests.prompt` indexes; with `others`, what theirs index too.
            params: of the batch; ``max_tokens`` x ``n`` output tokens are reserved per request.
        """
        if self.others is None:
            return self.judge(requests, prompts, params)
        parts, start = [Verdicts.admitted(0)], 0
        while start < len(requests):
            self.others.advance(float(requests.time[start]))
            stop = int(np.searchsorted(requests.time, self.others.due, "right"))
            stop = max(stop, start + 1)
            here = np.arange(start, stop)
            parts.append(self.judge(requests.take(here), prompts, params.take(here)))
            start = stop
        return Verdicts.concat(parts)

    def judge(
        self, requests: Requests, prompts: Prompts, params: Params, reserved: NDArray[np.int32] | None = None
    ) -> Verdicts:
        """Judge B requests and log them, now (`Admission.judge`).

        Args:
            requests: in order of time.
            prompts: what `Requests.prompt` indexes.
            params: of the batch.
            reserved: (B,) output tokens reserved for each; None for ``max_tokens`` x ``n``.
        """
        most = params.reserved(len(requests)) if reserved is None else reserved
        fault = invalid(params, self.interface, self.backend.vocabulary)
        if any(params.prefills) and fault is None:
            added = self.backend.codec.encode(params.prefills).lengths.astype(np.int32)
            requests = replace(requests, input_tokens=requests.input_tokens + added)
        return self._admission.judge(requests, prompts, most, fault)

    def complete(
        self, requests: Requests, prompts: Prompts, params: Params, completions: Ragged | None = None
    ) -> Responses:
        """Answer B admitted requests: R responses, request-major, ``params.n`` a request.

        The interface hides what it does not sell, then each defense's `release` acts, in order; logprobs that only defenses
        read (`Hooks.reads_logprobs`) are cut off after the last. Tokens are billed as generated, hidden ones included;
        results of the client's own tools are billed as input.

        Args:
            requests: admitted.
            prompts: what `Requests.prompt` indexes.
            params: of the batch.
            completions: (B,) rows to be scored in the place of an answer: their own tokens come back, with the logprobs that
                they would have been drawn with. They count as input (`Requests.input_tokens` holds them already).

        Raises:
            ValueError: a request was not admitted, or has been answered already.
            ConfigError: a defense reads more logprobs than there is room for.
        """
        rows = self.ledger.admitted_rows(requests)
        if not len(requests):
            return _nothing(params.top_logprobs)
        asked = self._asked(rows, prompts, params)
        wide = replace(params, top_logprobs=self._read(params, len(requests)))
        raw = self.backend.complete(prompts, requests, wide, asked, completions)
        of_request = np.repeat(np.arange(len(requests)), params.each("n", len(requests)))
        assert len(raw.tokens) == len(of_request), "the backend answers every request n times"
        responses = self._as_sold(raw, of_request, wide, requests.seed)
        self._bill(rows, raw, of_request, scored=completions is not None)
        for name, defense in self.defenses.items():
            if "release" in hooks_of(defense) and not (params.scored and defense.rewords):
                draws, serving = self._draws(name, requests), self._serving(name)
                context = ReleaseContext(
                    format=self.format,
                    interface=self.interface,
                    prompts=prompts,
                    requests=requests,
                    rng=draws,
                    asked=asked,
                    serving=serving,
                    codec=self.backend.codec,
                    params=params,
                )
                with by_others(RELEASE):
                    responses = defense.release(responses, context)
        return responses.most_probable(params.top_logprobs)

    def _read(self, params: Params, count: int) -> int:
        """How many logprobs a token are sampled: those asked for, or more where a defense reads them."""
        vocabulary, most = self.backend.vocabulary, params.top_logprobs
        for name, defense in self.defenses.items():
            reads = vocabulary if defense.reads_logprobs < 0 else min(defense.reads_logprobs, vocabulary)
            if reads > most:
                room = int(np.sum(params.each("n", count) * params.each("max_tokens", count))) * reads * 8
                reason = (
                    f"takes up to {room / 2**30:.1f} GB for {count} requests: ask for fewer at a time, or fewer tokens"
                )
                require(room <= MOST_READ, f"defense.{name}", f"{reads} logprobs a token", reason)
                most = reads
        return most

    def _serving(self, name: str) -> Serving:
        return replace(self.backend.serving(name), memory=self._admission.memory[name])

    def _asked(self, rows: NDArray[np.int64], prompts: Prompts, params: Params) -> RequestFacts:
        """What is known of the requests in these rows of the ledger."""
        account, prompt, marked = (self.ledger.column(name)[rows] for name in ("account", "prompt", "marked"))
        bucket, lengths = buckets_of(prompts), prompts.tokens.lengths
        temperature = params.each("temperature", len(rows)).astype(np.float64)
        visit = self.ledger.visits(bucket)[rows]
        return RequestFacts(account, marked, bucket[prompt], visit, lengths[prompt], temperature)

    def _as_sold(
        self, raw: Generations, of_request: NDArray[np.int64], params: Params, seed: NDArray[np.int64]
    ) -> Responses:
        """What the interface shows of the raw generations of these requests."""
        k = params.top_logprobs
        assert k == 0 or (raw.top_ids is not None and raw.top_logprobs is not None), "the backend returns what is asked"
        responses = Responses(
            request=of_request,
            tokens=raw.tokens,
            channel=raw.channel,
            finished=raw.finished,
            cut=np.zeros(len(raw.tokens), np.bool_),
            output_tokens=_count(raw, raw.channel != Channel.TOOL),
            logprob=raw.logprob if k else None,
            top_ids=raw.top_ids[:, :k] if k and raw.top_ids is not None else None,
            top_logprobs=raw.top_logprobs[:, :k] if k and raw.top_logprobs is not None else None,
        )
        return responses.keep_tokens(visible(raw, self.interface, self.format, params, seed))

    def _bill(self, rows: NDArray[np.int64], raw: Generations, of_request: NDArray[np.int64], scored: bool) -> None:
        """Settle the requests in these rows of the ledger and charge their accounts: whoever asks pays by the same rule, and
        what he pays is what the ledger says."""
        tool = np.full(len(raw.channel), fill_value=False) if scored else raw.channel == Channel.TOOL
        drawn = ~tool & (not scored)
        inputs, outputs = (
            np.bincount(of_request, _count(raw, mask), len(rows)).astype(np.int64) for mask in (tool, drawn)
        )
        inputs += self.ledger.column("input_tokens")[rows]
        dollars = self.prices.dollars(inputs, outputs)
        self.ledger.settle(rows, inputs, outputs, dollars)
        self.accounts.charge(self.ledger.column("account")[rows], dollars)

    def _draws(self, name: str, requests: Requests) -> np.random.Generator:
        """A generator that depends on the seed, the defense's name and the requests: the same requests give the same draws
        whatever else is in the stack, and a prompt sent again gets fresh ones."""
        digest = hashlib.sha256(f"{self.seed}/{name}".encode())
        for column in (requests.time, requests.account, requests.prompt, requests.seed):
            digest.update(np.ascontiguousarray(column).tobytes())
        return np.random.default_rng(int.from_bytes(digest.digest()[:16], "big"))


def invalid(params: Params, interface: Interface, vocabulary: int) -> str | None:
    """What is wrong with the parameters, "name: why", or None. No account is needed to find out.

    Args:
        params: asked for.
        interface: what is sold.
        vocabulary: ids of tokens are below this.
    """
    for temperature in (float(np.min(params.temperature)), float(np.max(params.temperature))):
        if not 0 <= temperature <= MAX_TEMPERATURE:
            return f"temperature: {temperature:g} is not between 0 and {MAX_TEMPERATURE}"
    if np.min(params.max_tokens) < 1:
        return f"max_tokens: {int(np.min(params.max_tokens))} is less than 1"
    if params.top_logprobs < 0:
        return f"top_logprobs: {params.top_logprobs} is less than 0"
    for token, bias in {item for biases in params.biases for item in biases.items()}:
        if not 0 <= token < vocabulary:
            return f"logit_bias: {token} is not a token of this model, which has {vocabulary}"
        if not math.isfinite(bias):
            return f"logit_bias: {bias} for token {token} is not a finite number"
    return interface.missing(params)


def buckets_of(prompts: Prompts) -> NDArray[np.int64]:
    """(P,) number of the bucket of each prompt: `Prompts.sketch` where there is one, else equal for equal words."""
    if prompts.sketch is not None:
        return prompts.sketch.astype(np.int64)
    return np.array([crc32(" ".join(text.lower().split()).encode()) for text in prompts.texts], np.int64)


def _count(raw: Generations, mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(R,) how many tokens of each response are in ``mask`` (N,)."""
    return np.bincount(raw.tokens.row_of_value[mask], minlength=len(raw.tokens)).astype(np.int32)


def _nothing(k: int) -> Responses:
    none = Responses(
        np.zeros(0, np.int64),
        Ragged.of([]),
        np.zeros(0, np.uint8),
        np.zeros(0, np.bool_),
        np.zeros(0, np.bool_),
        np.zeros(0, np.int32),
    )
    if not k:
        return none
    return replace(
        none,
        logprob=np.zeros(0, np.float32),
        top_ids=np.zeros((0, k), np.int32),
        top_logprobs=np.zeros((0, k), np.float32),
    )
