"""A backend without a model, its response format, and a gateway around them."""

from __future__ import annotations

import numpy as np

from lm.ragged import Ragged
from lm.randomness import seeds_of_each
from lm.types import Channel, Generations, ResponseFormat
from teacher.api.gateway import Gateway
from teacher.api.hooks import Serving
from teacher.api.interface import Interface
from teacher.api.prices import Prices
from teacher.api.schema import Prompts, Requests

FULL = Interface(name="full", top_logprobs=5, logit_bias=True, prefill=True, max_n=8, seed=True)
TEXT = Interface(name="text", trace="none")


class FakeFormat(ResponseFormat):
    """Even trace tokens are sub-results."""

    def channels(self, tokens):
        return np.full(len(tokens.values), Channel.TRACE, np.uint8)

    def summary(self, tokens, channel):
        return (channel == Channel.TRACE) & (tokens.values % 2 == 0)

    def corrupted(self, token, rng):
        return token


class FakeBackend:
    """Four trace tokens, one tool result, two answer tokens and 0 to 3 trace tokens more, drawn from the request's seed."""

    def __init__(self):
        self.calls = 0

    vocabulary = 100

    ends = np.array([2])

    @property
    def codec(self):
        return self

    def encode(self, texts):
        return Ragged.of([[10 + len(word) for word in text.split()] for text in texts])

    def decode(self, tokens):
        return [" ".join("x" * (token - 10) for token in row) for row in tokens]

    def serving(self, name):
        return Serving(self)

    def complete(self, prompts, requests, params, asked, completions=None):
        self.calls += 1
        self.asked = asked
        rows, channels = [], []
        for seed in seeds_of_each(requests.seed, params.n).view(np.uint64):
            rng = np.random.default_rng(seed)
            more = int(rng.integers(4))
            rows.append(rng.integers(10, 100, 7 + more))
            channels.append([Channel.TRACE] * (4 + more) + [Channel.TOOL] + [Channel.ANSWER] * 2)
        tokens = Ragged.of(rows)
        k, size = params.top_logprobs, len(tokens.values)
        draw = np.random.default_rng(size)
        return Generations(
            tokens=tokens,
            channel=np.concatenate(channels).astype(np.uint8),
            logprob=draw.normal(size=size).astype(np.float32),
            finished=np.ones(len(tokens), bool),
            top_ids=draw.integers(0, 99, (size, k), dtype=np.int32) if k else None,
            top_logprobs=draw.normal(size=(size, k)).astype(np.float32) if k else None,
        )


def prompts(count=50, length=5):
    return Prompts([f"p{i}" for i in range(count)], Ragged.of([range(length)] * count))


def requests(times, account=0, prompt=None, tokens=5, seed=None):
    n = len(times)
    return Requests(
        np.asarray(times, float),
        np.broadcast_to(np.asarray(account, np.int32), (n,)),
        np.arange(n) if prompt is None else np.asarray(prompt, np.int64),
        np.broadcast_to(np.asarray(tokens, np.int32), (n,)),
        np.arange(n, dtype=np.int64) if seed is None else seed,
    )


def gateway(defenses=None, interface=FULL, accounts=1, **options):
    opened = Gateway(FakeBackend(), interface, defenses or {}, Prices(), FakeFormat(), **options)
    opened.accounts.open(accounts)
    return opened
