"""A provider's log and those whom it looks into: language models of two tokens' memory, made of nothing but a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from defenses.base import Answered, Detection, Serving
from lm.ragged import Ragged
from lm.types import Channel, Generations, Scores
from teacher.api.schema import Responses

V = 24
TEXTS = [" ".join(str(3 + (7 * i + j) % 20) for j in range(1 + i % 3)) for i in range(60)]
TOOL, TRACE = np.uint8(Channel.TOOL), np.uint8(Channel.TRACE)


@dataclass(frozen=True)
class Bigram:
    """Says each token by the one before it; texts are token numbers, and end only at their longest.

    Args:
        table: (V, V) scores of the next token.
    """

    table: NDArray[np.float64]
    vocab: tuple[str, ...] = tuple(map(str, range(V)))
    vocabulary: int = V
    ends: tuple[int, ...] = (2,)

    format = None
    tokenizer = SimpleNamespace(eos_token_id=2)

    def encode(self, texts):
        return Ragged.of([[self.vocab.index(word) for word in text.split()] for text in texts])

    encode_prompts = encode

    def decode(self, tokens):
        return [" ".join(self.vocab[token] for token in row) for row in tokens]

    def generate(self, prompts, sampling, seeds, watermark=None, secret=0):
        noise = np.zeros((sampling.max_tokens, len(prompts), V))
        if sampling.temperature:
            noise += np.random.default_rng(seeds).gumbel(size=noise.shape) * sampling.temperature
        last = prompts.values[prompts.offsets[1:] - 1]
        said = last[:, None]
        for step in noise:
            scores = self.table[said[:, -1]] + step
            if watermark is not None:
                scores = scores + watermark.delta * watermark.green(said[:, -1:], np.arange(V), secret)
            said = np.column_stack([said, scores.argmax(1)])
        tokens = Ragged.of(said[:, 1:])
        n = len(tokens.values)
        return Generations(tokens, np.full(n, TRACE), np.zeros(n, np.float32), np.zeros(len(prompts), bool))

    def score(self, prompts, completions, top_k=0):
        last = prompts.values[prompts.offsets[1:] - 1]
        before = np.where(completions.position > 0, np.roll(completions.values, 1), last[completions.row_of_value])
        p = log_softmax(self.table, 1)[before]
        best = np.argsort(-p, 1)[:, :top_k] if top_k else None
        return Scores(
            p[np.arange(len(p)), completions.values].astype(np.float32),
            p.argmax(1) == completions.values,
            p[:, 0],
            best,
        )


def bigram(seed: int, like: Bigram | None = None, spread: float = 1.5) -> Bigram:
    """Random scores, around those of another."""
    own = spread * np.random.default_rng(seed).standard_normal((V, V))
    return Bigram(own if like is None else like.table + own)


TEACHER, PROXY = bigram(1), bigram(2)


def trained(answered: Answered, prior: Bigram = PROXY, strength: float = 30.0) -> Bigram:
    """What stood after each token of the log, on a prior that counts as much as so many tokens after each."""
    tokens, counts = answered.responses.tokens, strength * np.exp(log_softmax(prior.table, 1))
    inside = tokens.position > 0
    np.add.at(counts, (np.roll(tokens.values, 1)[inside], tokens.values[inside]), 1)
    return Bigram(np.log(counts))


def served(seed=0, tokens=24, watermark=None, secret=5) -> Answered:
    """One response of the teacher to each text at temperature 1."""
    from lm.types import Sampling

    drawn = TEACHER.generate(TEACHER.encode_prompts(TEXTS), Sampling(max_tokens=tokens), [seed, 1], watermark, secret)
    rows, no = np.arange(len(TEXTS)), np.zeros(len(TEXTS), np.bool_)
    responses = Responses(rows, drawn.tokens, drawn.channel, no, no, drawn.tokens.lengths.astype(np.int32))
    return Answered(TEXTS, rows, responses)


def without(answered: Answered, **columns) -> Answered:
    """The same log with other columns of responses."""
    return answered._replace(responses=replace(answered.responses, **columns))


def detection(suspect, answered: Answered, seed=0, secret=5, **more) -> Detection:
    serving = Serving(TEACHER, lambda name: PROXY, seed=secret)
    return Detection(suspect, TEXTS, serving, None, np.random.default_rng(seed), lambda: answered, **more)
