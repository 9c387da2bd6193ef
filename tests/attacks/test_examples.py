"""What was put at the start of a response is part of what is learnt."""

from dataclasses import replace

import numpy as np
import pytest

from attacks.client import Harvested
from attacks.examples import to_examples
from lm.ragged import Ragged
from lm.types import Channel
from teacher.api.interface import Interface
from tests.attacks.test_contract import check_aligned
from tests.attacks.world import EOS, MARK, Format, client, pool

OWNED = pool({"chain": 20})
SOLD = Interface("sold", "full", 3, prefill=True, seed=True)
PROMPTS = Ragged.of([[i] for i in range(20)])


def asked(prefill, interface=SOLD, items=8):
    return client(OWNED, 20, interface).ask(np.arange(items), prefill=prefill)


def test_rows_begin_with_it_and_nothing_is_sold_of_it():
    got = asked([f"{i} 5" if i % 2 else "" for i in range(8)])
    plain = asked("")
    assert plain.prefill is None
    rows = to_examples(got, PROMPTS, Format())
    without = to_examples(plain, PROMPTS)
    check_aligned(rows)
    for i in range(8):
        given = [i, 5] if i % 2 else []
        assert rows.completions[i].tolist() == [*given, *without.completions[i].tolist()]
        at = np.arange(rows.completions.offsets[i], rows.completions.offsets[i + 1])
        was = np.arange(without.completions.offsets[i], without.completions.offsets[i + 1])
        for name in ("channel", "weight", "top_ids", "top_logprobs", "logprob"):
            np.testing.assert_array_equal(getattr(rows, name)[at[len(given) :]], getattr(without, name)[was])
        first = at[: len(given)]
        assert (rows.weight[first] == 1).all()
        assert (rows.channel[first] == Channel.TRACE).all()
        assert (rows.top_ids[first] == -1).all()
        assert np.isneginf(rows.top_logprobs[first]).all()
        assert np.isnan(rows.logprob[first]).all()


def test_its_channels_are_those_of_the_whole_row():
    rows = to_examples(asked(f"3 {MARK}"), PROMPTS, Format())
    first = rows.completions.offsets[:-1]
    assert (rows.channel[first] == Channel.TRACE).all()
    assert (rows.channel[first + 1] == Channel.ANSWER).all()


def test_a_response_of_which_nothing_is_visible_stays_empty():
    got = asked("3")
    hidden = replace(got, responses=got.responses.keep_tokens(got.responses.tokens.row_of_value != 2))
    rows = to_examples(hidden, PROMPTS, Format())
    assert rows.completions.lengths[2] == 0
    assert rows.completions[1].tolist()[0] == 3


def test_no_answers_at_all():
    rows = to_examples(asked("3").take(np.zeros(0, np.int64)), PROMPTS, Format())
    assert len(rows) == len(rows.completions.values) == 0


def test_joined_harvests_keep_what_each_began_with():
    got = Harvested.concat([asked("7", items=2), asked("", items=3)])
    assert [row.tolist() for row in got.prefill] == [[7], [7], [], [], []]
    assert [row.tolist() for row in got.take(np.array([4, 0])).prefill] == [[], [7]]
    rows = to_examples(got, PROMPTS, Format())
    assert [row[0] == 7 for row in rows.completions][:2] == [True, True]
    assert all(row[-1] == EOS for row in rows.completions)


def test_rows_say_who_asked_and_what_they_answer():
    api = client(OWNED, 20, SOLD, accounts=3)
    rows = to_examples(api.ask(np.arange(6)), PROMPTS)
    assert rows.account.tolist() == [0, 1, 2, 0, 1, 2]
    assert rows.request.tolist() == list(range(6))
    chosen = to_examples(api.ask(np.arange(4), accounts=np.array([2, 2, 0, 2])), PROMPTS)
    assert chosen.account.tolist() == [2, 2, 0, 2]


@pytest.mark.parametrize("accounts", [[0, 1], [0, 3, 0], [-1, 0, 0]])
def test_accounts_that_are_none(accounts):
    from configs.errors import ConfigError

    api = client(OWNED, 20, SOLD, accounts=3)
    with pytest.raises(ConfigError, match=r"accounts.*3 accounts"):
        api.ask(np.arange(3), accounts=np.array(accounts))
    assert api.remaining == 20


def test_chosen_accounts_send_at_their_own_pace():
    api = client(OWNED, 20, SOLD, accounts=2)
    api.ask(np.arange(3), accounts=np.array([1, 1, 0]))
    api.ask(np.arange(2), accounts=np.array([1, 0]))
    gap = 60 / api.budget.rate
    assert api.outcomes[0].requests.time.tolist() == [0, gap, 0]
    assert api.outcomes[1].requests.time.tolist() == [2 * gap, gap]
