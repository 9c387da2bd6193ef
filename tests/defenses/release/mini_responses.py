"""Right responses of the mini world in random wordings, as the API would release them; of all families."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from defenses.base import ReleaseContext, Serving
from lm.from_words import word_examples
from lm.ragged import Ragged
from lm.types import Channel
from tasks.mini import MiniTask, Wording
from teacher.api.interface import Interface
from teacher.api.schema import Params, Prompts, Requests, Responses
from tests.defenses.asking import asked
from tests.lm.mini.tiny import tiny

LM = tiny()
TASK = MiniTask()
EACH = 8
OFTEN = Wording(merge=0.2, restate=0.5, check=0.4)


class World(NamedTuple):
    """R items, a right response to each, and what a defense sees when they are released."""

    items: list
    responses: Responses
    seed: int

    def context(self, serving=None, seed=0, trace="full"):
        rows = len(self.items)
        texts = [item.prompt for item in self.items]
        line, four = np.arange(rows), np.full(rows, 4, np.int32)
        sent = Requests(line.astype(float), np.zeros(rows, np.int32), line, four, line)
        prompts = Prompts(texts, LM.encode_prompts(texts))
        serving = serving or Serving(LM, seed=5)
        rng = np.random.default_rng((self.seed, seed))
        return ReleaseContext(
            LM.format, Interface(trace=trace), prompts, sent, rng, asked(rows), serving, LM, Params(max_tokens=64)
        )


@cache
def items():
    return [item for family in TASK.families for item in TASK.items("train", family, EACH, 1)]


def world(seed=0, wording=OFTEN, k=0) -> World:
    """The items with responses drawn by a seed; ``k`` logprobs a token."""
    rng = np.random.default_rng(seed)
    rows = word_examples(LM, [i.prompt for i in items()], [TASK.seeded_response(i, rng, wording) for i in items()])
    count, total = len(rows), len(rows.completions.values)
    lists = {}
    if k:
        ids = np.argsort(rng.random((total, 142)), axis=1)[:, :k].astype(np.int32)
        lists = {
            "logprob": np.full(total, -2.0, np.float32),
            "top_ids": ids,
            "top_logprobs": np.tile(-2.0 - np.arange(k, dtype=np.float32), (total, 1)),
        }
    yes = np.ones(count, np.bool_)
    lengths = rows.completions.lengths.astype(np.int32)
    return World(
        items(), Responses(np.arange(count), rows.completions, rows.channel, yes, ~yes, lengths, **lists), seed
    )


shares = st.sampled_from([0.0, 0.3, 0.7, 1.0])
worlds = st.builds(
    world,
    seed=st.integers(0, 2**20),
    wording=st.builds(Wording, merge=shares, restate=shares, check=shares),
    k=st.sampled_from([0, 2]),
)
"""Random worlds."""


def besides(responses) -> Ragged:
    """Tokens of all that is no trace."""
    return responses.tokens.keep(responses.channel != Channel.TRACE)


def texts_of(responses) -> list[str]:
    return LM.decode(responses.tokens)


def assert_answers_kept(new, old):
    """Answers, calls and tool results token for token, channels as the tokens say, and nothing lost on the way."""
    for one, other in zip(besides(new), besides(old), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(new.channel, LM.format.channels(new.tokens))
    for column in ("request", "finished", "output_tokens"):
        np.testing.assert_array_equal(getattr(new, column), getattr(old, column))


def same(one, other) -> bool:
    """Whether two batches of responses are the same to the bit."""
    pairs = [(one.tokens.values, other.tokens.values), (one.tokens.offsets, other.tokens.offsets)]
    names = ("channel", "cut", "logprob", "top_ids", "top_logprobs")
    pairs += [(getattr(one, name), getattr(other, name)) for name in names]
    return all(a is b or np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)
