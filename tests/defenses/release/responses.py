"""Hand-made responses for tests of release defenses: token 10·channel + value, values 0–9; 2 ends a response."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from defenses.base import ReleaseContext, Serving
from lm.language_model import LanguageModel
from lm.ragged import Ragged
from lm.types import Channel, ResponseFormat
from teacher.api.interface import Interface
from teacher.api.schema import Prompts, Requests, Responses
from tests.defenses.asking import asked
from tests.defenses.decoding.models import model

VOCAB = 50


@dataclass(frozen=True)
class DigitFormat(ResponseFormat):
    """Channel is the tens digit; even trace tokens are sub-results; every token but a 9 and the end can be wrong."""

    def channels(self, tokens):
        return np.where(tokens.values == 2, Channel.ANSWER, tokens.values // 10).astype(np.uint8)

    def summary(self, tokens, channel):
        return (channel == Channel.TRACE) & (tokens.values % 2 == 0)

    def corrupted(self, token, rng):
        if token % 10 == 9 or token == 2:
            return token
        return token - token % 10 + (token % 10 + int(rng.integers(1, 9))) % 9


class DigitCodec:
    """A token's text is its number."""

    ends = np.array([2])

    def decode(self, tokens):
        return [" ".join(str(token) for token in row if token != 2) for row in tokens]

    def encode(self, texts):
        return Ragged.of([[int(word) for word in text.split()] for text in texts])


@cache
def student(seed=3):
    """A random model whose tokens are these."""
    lm = model(seed=seed, vocab=VOCAB, words=tuple(map(str, range(4, VOCAB))))
    return LanguageModel(lm.model, lm.tokenizer, DigitFormat())


def make(n=40, k=3, seed=0, per_request=2):
    """(responses, context maker) of n responses: trace, call, tool result, trace, answer, end."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        trace = list(10 + rng.integers(0, 10, rng.integers(0, 9)))
        call = [20 + int(rng.integers(10)), 31] if rng.random() < 0.5 else []
        rows.append([*trace, *call, *(10 + rng.integers(0, 10, rng.integers(0, 4))), 49, 40 + int(rng.integers(9)), 2])
    tokens = Ragged.of(rows)
    channel = DigitFormat().channels(tokens)
    total = len(tokens.values)
    logprob = top_ids = top_logprobs = None
    if k:
        logits = rng.normal(size=(total, VOCAB)) * 2
        full = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        top_ids = np.argsort(-full, axis=1)[:, :k].astype(np.int32)
        top_logprobs = np.take_along_axis(full, top_ids.astype(np.int64), 1).astype(np.float32)
        logprob = full[np.arange(total), tokens.values].astype(np.float32)
        tool = channel == Channel.TOOL
        logprob[tool], top_ids[tool], top_logprobs[tool] = 0, -1, -np.inf
    requests = n // per_request
    responses = Responses(
        np.repeat(np.arange(requests), per_request),
        tokens,
        channel,
        np.ones(n, bool),
        np.zeros(n, bool),
        tokens.lengths.astype(np.int32),
        logprob,
        top_ids,
        top_logprobs,
    )
    prompts = Prompts([str(i) for i in range(7)], Ragged.of([[1, 4, i % 3, i] for i in range(7)]))
    sent = Requests(
        np.arange(requests, dtype=float),
        np.zeros(requests, np.int32),
        np.arange(requests) % 7,
        np.full(requests, 4, np.int32),
        np.arange(requests),
    )

    def context(seed=0, trace="full", prepared=None, **columns):
        interface = Interface(trace=trace, top_logprobs=k)
        known = asked(requests, account=sent.account, **columns)
        rng = np.random.default_rng(seed)
        own = Serving(student(), lambda name: student(), prepared or {})
        return ReleaseContext(DigitFormat(), interface, prompts, sent, rng, known, own, DigitCodec())

    return responses, context


def assert_aligned(responses):
    """Every flat array is as long as the tokens, every row array as long as the rows."""
    total = len(responses.tokens.values)
    assert responses.tokens.offsets[-1] == total
    for row_array in (responses.request, responses.finished, responses.cut, responses.output_tokens):
        assert len(row_array) == len(responses.tokens)
    for flat in (responses.channel, responses.logprob, responses.top_ids, responses.top_logprobs):
        assert flat is None or len(flat) == total
    if responses.top_ids is not None:
        assert responses.top_ids.shape == responses.top_logprobs.shape
        assert responses.top_ids.dtype == np.int32
        assert responses.top_logprobs.dtype == np.float32
        assert ((responses.top_ids < 0) == np.isneginf(responses.top_logprobs)).all()
        assert (responses.top_logprobs[:, 1:] <= responses.top_logprobs[:, :-1]).all()
        assert (np.exp(responses.top_logprobs.astype(float)).sum(1) <= 1 + 1e-5).all()
