"""The model behind the gateway."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.stages.backend import ModelBackend, _identity
from experiments.store.store import Store
from lm.types import Channel, ResponseFormat
from teacher.api.schema import Params, Prompts
from tests.defenses.asking import asked
from tests.lm.mini.tiny import tiny
from tests.teacher.api.fakes import requests

LM = tiny()
TEXTS = ["1 +4 ?", "C flip ?", "2 +4 ?"]
PROMPTS = Prompts(TEXTS, LM.encode_prompts(TEXTS))


@pytest.fixture
def backend(tmp_path):
    return ModelBackend(LM, lambda asked: [], Store(tmp_path / "store"), "tiny")


def said(backend, seeds, n):
    """Responses, by request and draw."""
    batch = requests(range(len(seeds)), prompt=[0] * len(seeds), seed=np.array(seeds, np.int64))
    params = Params(n=n, max_tokens=24)
    rows = [tuple(row.tolist()) for row in backend.complete(PROMPTS, batch, params, asked(len(seeds))).tokens]
    return [rows[at : at + n] for at in range(0, len(rows), n)]


def test_responses_of_neighbouring_seeds_differ(backend):
    """With seeds s + i the second response to one request was the first to the next."""
    several = said(backend, [5, 6, 7, 8], 4)
    assert len({row for rows in several for row in rows}) == 16
    assert [rows[0] for rows in several] == [rows[0] for rows in said(backend, [5, 6, 7, 8], 1)]


def test_tools_see_what_was_put_at_the_start_too():
    calls = []
    prompts = Prompts(TEXTS, PROMPTS.tokens, lambda rows, said: (calls.extend(map(list, said)), [[] for _ in rows])[1])
    backend = ModelBackend(replace(LM, format=Calls()), lambda asked: [], None, "tiny")
    batch = requests(range(3), prompt=[0, 1, 2])
    given = ["1 2", "", "+4"]
    got = backend.complete(prompts, batch, Params(max_tokens=6, prefill=given), asked(3)).tokens
    assert calls
    starts = [row.tolist() for row in LM.encode(given)]
    wholes = [[*start, *row] for start, row in zip(starts, got, strict=True)]
    assert all(
        any(whole[: len(call)] == call and len(call) > len(s) for whole, s in zip(wholes, starts, strict=True))
        for call in calls
    )


class Calls(ResponseFormat):
    """Every token may end a call."""

    call_end_ids = tuple(range(LM.vocabulary))

    def channels(self, tokens):
        return np.full(len(tokens.values), Channel.TRACE, np.uint8)

    summary = corrupted = None


def test_whether_steps_are_asked_for_is_no_part_of_what_was_sampled():
    assert _identity(Params(elicits=True)) == _identity(Params())
    assert _identity(Params(elicits=[True, False])) == _identity(Params())


def test_what_a_prefill_costs_and_which_tokens_there_are(backend):
    assert backend.codec.encode(["1 +4 ?"]).lengths.tolist() == [3]
    assert backend.vocabulary == LM.vocabulary
