"""A tiny API to attack: a teacher that answers from a table, over the real gateway and the real client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import torch

from attacks.base import HarvestContext, Pool, RecoverContext
from attacks.budget import Budget
from attacks.client import Client, Harvested
from attacks.compute import Compute, ComputeMeter
from attacks.knowledge import Rehearsed
from defenses.base import Defense
from lm.examples import Examples
from lm.ragged import Ragged
from lm.types import Channel, Generations, ResponseFormat, Sampling, Scores
from teacher.api.gateway import Gateway
from teacher.api.hooks import Serving
from teacher.api.interface import Interface
from teacher.api.prices import Prices
from teacher.api.schema import Params, Prompts, Requests

V, MARK, EOS = 12, 10, 11


class Format(ResponseFormat):
    """Working, then MARK answer EOS."""

    def channels(self, tokens):
        ended = np.zeros(len(tokens.values), bool)
        for row in range(len(tokens)):
            part = slice(tokens.offsets[row], tokens.offsets[row + 1])
            ended[part] = np.maximum.accumulate(np.isin(tokens.values[part], (MARK, EOS)))
        return np.where(ended, Channel.ANSWER, Channel.TRACE).astype(np.uint8)

    def summary(self, tokens, channel):
        return (channel == Channel.TRACE) & (tokens.position % 2 == 1)

    def corrupted(self, token, rng):
        return (token + 1) % 10


WORDS: list[str] = []
"""Words that are no numbers, in the order in which anybody first wrote them; ids from 1,000 on."""


class Table:
    """Backend: the response to a prompt is a function of the prompt and the request's seed; logprobs of the prompt only."""

    vocabulary = V

    ends = np.array([EOS])

    @property
    def codec(self):
        return self

    def encode(self, texts):
        WORDS.extend(dict.fromkeys(w for text in texts for w in text.split() if not (w.isdigit() or w in WORDS)))
        known = [[int(w) if w.isdigit() else 1000 + WORDS.index(w) for w in text.split()] for text in texts]
        return Ragged.of(known)

    def decode(self, tokens):
        spelt = [
            [WORDS[token - 1000] if token >= 1000 else str(token) for token in row if token != EOS] for row in tokens
        ]
        return [" ".join(words) for words in spelt]

    def serving(self, name: str) -> Serving:
        return Serving(self)

    def complete(self, prompts: Prompts, requests: Requests, params: Params, asked, completions=None) -> Generations:
        k, rows, ids, logprobs = params.top_logprobs, [], [], []
        for prompt, seed in zip(requests.prompt, requests.seed, strict=True):
            for draw in range(params.n):
                rng = np.random.default_rng([int(prompt), int(seed), draw])
                answer = [*rng.integers(0, 10, int(prompt) % 4), MARK, int(prompt) % 10, EOS]
                rows.append(answer if completions is None else completions[len(rows)].tolist())
                for position in range(len(rows[-1])):
                    p = np.random.default_rng([7, int(prompt), position]).dirichlet(np.ones(V))
                    order = np.argsort(-p)[:k]
                    ids.append(order)
                    logprobs.append(np.log(p[order]))
        tokens = Ragged.of(rows)
        n = len(tokens.values)
        return Generations(
            tokens,
            Format().channels(tokens),
            np.full(n, -1, np.float32),
            np.ones(len(rows), bool),
            np.array(ids, np.int32).reshape(n, k) if k else None,
            np.array(logprobs, np.float32).reshape(n, k) if k else None,
        )


class Bigrams(torch.nn.Module):
    """What a student learns with: the scores of the next token by the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = torch.nn.Linear(V, V, bias=False)
        torch.nn.init.zeros_(self.head.weight)

    def get_output_embeddings(self):
        return self.head

    def forward(self, input_ids, attention_mask=None, use_cache=False):
        return SimpleNamespace(logits=self.head(torch.nn.functional.one_hot(input_ids % V, V).float()))


class Guesser:
    """A student as harvests see one; surest of prompts with large numbers. Counts what it is asked, and how warm it was."""

    vocabulary, ends = V, Table.ends
    tokenizer, device, batch_tokens = SimpleNamespace(pad_token_id=0), torch.device("cpu"), 64

    def __init__(self, model: Bigrams | None = None) -> None:
        self.scored: list[str] = []
        self.temperatures: set[float] = set()
        self.model = model or Bigrams()

    def with_model(self, model: Bigrams) -> Guesser:
        return Guesser(model)

    def encode(self, texts):
        return Table().encode(texts)

    def encode_prompts(self, texts):
        self.scored += texts
        return self.encode(texts)

    def decode(self, tokens):
        return Table().decode(tokens)

    def generate(self, prompts: Ragged, sampling: Sampling, seeds, processors=(), tools=None) -> Generations:
        self.temperatures.add(float(sampling.temperature))
        tokens = Ragged.of([np.arange(1 + row[0] % sampling.max_tokens) % V for row in prompts])
        n = len(tokens.values)
        return Generations(tokens, np.zeros(n, np.uint8), np.zeros(n, np.float32), np.ones(len(prompts), bool))

    def score(self, prompts: Ragged, completions: Ragged, top_k: int = 0) -> Scores:
        first = prompts.values[prompts.offsets[:-1]]
        entropy = 1 / (1 + first[completions.row_of_value].astype(np.float32))
        tops = None
        if top_k:
            ids = np.broadcast_to(np.arange(top_k, dtype=np.int32), (len(entropy), top_k))
            tops = ids, np.full(ids.shape, -np.log(V), np.float32)
        return Scores(-2 * entropy, np.ones(len(entropy), bool), entropy, *(tops or ()))


@dataclass
class Fitter:
    """`HarvestContext.fit` that remembers on how much it was trained."""

    student: Guesser
    sizes: list[int]

    def __call__(self, so_far: Harvested, seed: int = 0) -> Guesser:
        self.sizes.append(len(so_far))
        return self.student


def pool(sizes: Mapping[str, int], mix: Mapping[str, float] | None = None) -> Pool:
    """Prompts "0", "1", ... of the given families, interleaved by nothing."""
    family = np.array([f for f, n in sizes.items() for _ in range(n)], object)
    total = sum(sizes.values())
    return Pool([str(i) for i in range(total)], family, dict(mix or {f: n / total for f, n in sizes.items()}))


def client(
    owned: Pool,
    queries: int,
    interface: Interface | None = None,
    defenses: Mapping[str, Defense] | None = None,
    accounts: int = 1,
):
    """A client with that many queries left, over everything owned."""
    gateway = Gateway(Table(), interface or Interface(), defenses or {}, Prices(), Format())
    prompts = Prompts(owned.texts, Ragged.of([[i % V] for i in range(len(owned))]))
    budget = Budget(queries=queries, data=len(owned), hours=1e6, accounts=accounts)
    return Client(gateway, prompts, budget, Params(max_tokens=16), seed=3, encode=Table().encode)


def harvest_context(seed: int = 0) -> HarvestContext:
    student = Guesser()
    rng = np.random.default_rng(seed)
    fit_rows = lambda rows, start=None, objective=None, seed=0: student  # noqa: E731
    return HarvestContext(
        lambda: student, Fitter(student, []), rng, fit_rows=fit_rows, public=lambda n, seed=0: public(n)
    )


def examples(rows, cut=None, item=None, prompts=None, tops=None) -> Examples:
    """Rows of (token, channel) pairs as training rows; one prompt each unless told."""
    tokens = Ragged.of([[t for t, _ in row] for row in rows])
    channel = np.array([c for row in rows for _, c in row], np.uint8)
    b = len(rows)
    return Examples(
        Ragged.of([[i] for i in range(b)] if prompts is None else prompts),
        tokens,
        channel,
        (channel != Channel.TOOL).astype(np.float32),
        np.arange(b) if item is None else np.array(item, np.int64),
        np.zeros(b, bool) if cut is None else np.array(cut, bool),
        *(tops or (None, None)),
    )


def public(n: int) -> Examples:
    """n rows that everybody has."""
    row = [(1, Channel.TRACE), (MARK, Channel.ANSWER), (2, Channel.ANSWER), (EOS, Channel.ANSWER)]
    return examples([row] * n, item=[-1] * n)


def said(item, texts) -> Examples:
    """Responses in words, as `RecoverContext.encode` makes them rows."""
    tokens = [[*map(int, text.split()), EOS] for text in texts]
    channel = Format().channels(Ragged.of(tokens))
    rows = np.split(channel, np.cumsum([len(row) for row in tokens])[:-1]) if tokens else []
    pairs = [list(zip(row, kinds.tolist(), strict=True)) for row, kinds in zip(tokens, rows, strict=True)]
    return examples(pairs, item=item, prompts=[[int(i)] for i in item])


def rehearsed() -> Rehearsed:
    """Eight responses with two logprobs a token, and what is left of them where the working is hidden."""
    whole = replace(public(8), item=np.arange(8))
    n = len(whole.completions.values)
    ids, logprobs = np.tile(np.array([3, 4], np.int32), (n, 1)), np.log(np.tile([0.6, 0.3], (n, 1))).astype(np.float32)
    whole = replace(whole, top_ids=ids, top_logprobs=logprobs)
    return Rehearsed(whole, whole.keep_tokens(whole.channel != Channel.TRACE))


def recover_context(check=lambda item, text: True, seed: int = 0, student=None, fit=None) -> RecoverContext:
    student = student or Guesser()
    return RecoverContext(
        texts=[str(i) for i in range(1000)],
        check=check,
        format=Format(),
        decode=lambda data: Table().decode(data.completions),
        public=lambda n, seed=0: public(n),
        public_texts=lambda n, seed=0: ([str(i % V) for i in range(n)], Table().decode(public(n).completions)),
        rng=np.random.default_rng(seed),
        encode=said,
        rows=lambda prompts, texts: said([-1] * len(texts), texts),
        rehearsed=rehearsed(),
        student=lambda: student,
        fit=fit or (lambda rows, start=None, objective=None, seed=0: student),
        own=lambda rows, objective=None: rows,
        compute=ComputeMeter(Compute()),
        max_tokens=8,
    )
