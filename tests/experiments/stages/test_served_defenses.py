"""Defenses that act by who asks, behind the real gateway."""

from __future__ import annotations

import numpy as np

from defenses.decoding.lads import LADS
from defenses.release.suspects import Suspects
from lm.types import Channel
from tests.experiments.stages.test_abilities import Marks, client, same


def test_accounts_see_one_sample_a_visit(tmp_path):
    items = np.array([3, 3, 3, 3, 7, 7])
    texts = [row.tolist() for row in client(tmp_path, LADS(), accounts=2).ask(items).responses.tokens]
    assert texts[0] == texts[1]
    assert texts[2] == texts[3]
    assert texts[4] == texts[5]
    assert texts[0] != texts[2]


def test_what_others_ask_changes_nothing(tmp_path):
    alone = client(tmp_path, LADS()).ask(np.array([3, 3, 5]))
    beside = client(tmp_path, LADS(), accounts=2).ask(np.array([3, 5, 3, 1, 5, 2]))
    assert [row.tolist() for row in beside.responses.tokens][::2] == [row.tolist() for row in alone.responses.tokens]


def test_responses_of_a_request_differ_and_greedy_ones_are_greedy(tmp_path):
    asked = client(tmp_path, LADS(), accounts=2).ask(np.array([4, 4]), n=4)
    texts = [tuple(row.tolist()) for row in asked.responses.tokens]
    assert texts[:4] == texts[4:]
    assert len(set(texts[:4])) == 4
    temperature = np.array([0.0, 1.0, 0.0])
    mixed = client(tmp_path, LADS()).ask(np.array([4, 4, 6]), temperature=temperature)
    plain = client(tmp_path).ask(np.array([4, 4, 6]), temperature=temperature)
    for row in (0, 2):
        assert mixed.responses.tokens[row].tolist() == plain.responses.tokens[row].tolist()


def test_the_traces_of_marked_accounts_alone_are_hidden(tmp_path):
    items = np.arange(8)
    plain = client(tmp_path, Marks(), accounts=2).ask(items)
    hidden = client(tmp_path, Marks(), Suspects(), accounts=2).ask(items)
    assert (plain.responses.channel == Channel.TRACE).any()
    for row, (one, other) in enumerate(zip(plain.responses.tokens, hidden.responses.tokens, strict=True)):
        if row % 2:
            at = hidden.responses.tokens.value_index(np.array([row]))
            assert not (hidden.responses.channel[at] == Channel.TRACE).any()
        else:
            assert one.tolist() == other.tolist()
    assert same(plain, client(tmp_path, Suspects(), accounts=2).ask(items)), "where nobody marks, nothing happens"
