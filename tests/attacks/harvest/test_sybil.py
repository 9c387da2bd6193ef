"""A pool of accounts of which some are answered otherwise."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from attacks.harvest.random import Random
from attacks.harvest.sybil import Sybil, agreeing, one_each
from configs.errors import ConfigError
from defenses.base import Defense
from teacher.api.interface import Interface
from teacher.api.schema import FORBIDDEN, Verdicts
from tests.attacks.world import client, harvest_context, pool

OWNED = pool({"chain": 400})
SEEDED = Interface("seeded", "full", seed=True)


@dataclass(frozen=True)
class Marked(Defense):
    """Marks these accounts from a number of requests on, and does something to what they get."""

    source: ClassVar[str] = "test"
    accounts: tuple[int, ...] = ()
    does: str = "alters"
    after: int = 0

    def admit(self, requests, state):
        verdicts = Verdicts.admitted(len(requests))
        late = len(state.ledger) + np.arange(len(requests)) >= self.after
        verdicts.marked[:] = np.isin(requests.account, self.accounts) & late
        if self.does == "refuses":
            verdicts.status[verdicts.marked] = FORBIDDEN
        return verdicts

    def release(self, responses, context):
        marked = context.asked.marked[responses.request]
        if self.does == "cuts":
            return responses.keep_tokens(~marked[responses.tokens.row_of_value] | (responses.tokens.position > 0))
        if self.does == "alters":
            at = responses.tokens.offsets[1:][marked] - 2
            responses.tokens.values[at] = (responses.tokens.values[at] + 1 + context.rng.integers(9, size=len(at))) % 10
        return responses


def run(*defenses, accounts=6, queries=300, interface=SEEDED, **fields):
    api = client(OWNED, queries, interface, {f"d{i}": d for i, d in enumerate(defenses)}, accounts=accounts)
    return api, Sybil(**fields).run(api, OWNED, harvest_context())


@pytest.mark.parametrize("does", ["alters", "cuts", "refuses"])
def test_accounts_that_look_defended_are_retired_and_leave_no_rows(does):
    api, got = run(Marked((1, 4), does))
    assert got.findings["accounts_left"] == 4
    assert api.remaining == 0
    assert got.asked == 300
    assert not np.isin(got.account, (1, 4)).any()
    clean = {(i, row.tobytes()) for i, row in zip(got.item, got.responses.tokens, strict=True)}
    assert len(clean) == len(got), "no answer twice"


def test_accounts_that_turn_later_lose_what_came_since_they_were_last_compared():
    _, got = run(Marked((2,), after=110), rounds=4)
    assert got.findings["accounts_left"] == 5
    mine = got.responses.request[got.account == 2]
    assert len(mine)
    assert mine.max() < 110


def test_more_accounts_that_are_cut_than_whole_ones_do_not_outvote_them():
    _, got = run(Marked((0, 1, 2, 3), "cuts"))
    assert got.findings["accounts_left"] == 2
    assert set(got.account.tolist()) == {4, 5}


def test_where_all_fare_alike_all_stay():
    for defenses in ((), (Marked(tuple(range(6))),), (Marked(tuple(range(6)), "refuses"),)):
        api, got = run(*defenses)
        assert got.findings["accounts_left"] == 6
        assert api.remaining == 0
    assert len(got) == 0
    assert len(run(Marked(tuple(range(6))))[1]) == 300 - 5 * 8, "one answer to each of 8 prompts that six were asked"


def test_two_accounts_that_disagree_tell_nothing():
    _, got = run(Marked((1,)), accounts=2)
    assert got.findings["accounts_left"] == 2


def test_one_account_or_a_small_budget_compares_nothing():
    _, got = run(accounts=1, queries=50)
    plain = Random().run(client(OWNED, 50, SEEDED), OWNED, harvest_context())
    assert got.item.tolist() == plain.item.tolist()
    _, got = run(accounts=6, queries=20)
    assert got.findings["compared_queries"] == 0
    assert len(set(got.item.tolist())) == 20


def test_no_more_is_compared_than_it_says():
    api, got = run(share=0.2, rounds=4)
    assert got.findings["compared_queries"] == 48 <= 0.2 * 300
    assert api.outcomes[0].requests.account.tolist() == [*range(6)] * 2
    assert len(set(api.outcomes[0].requests.seed.tolist())) == 2


def test_without_seeds_the_most_probable_texts_are_compared(monkeypatch):
    api = client(OWNED, 100, Interface(), accounts=2)
    asked, ask = [], api.ask
    monkeypatch.setattr(api, "ask", lambda items, **said: (asked.append(said), ask(items, **said))[1])
    Sybil(rounds=1).run(api, OWNED, harvest_context())
    assert asked[0]["temperature"] == 0
    assert "temperature" not in asked[1]


def test_the_commonest_whole_answer_is_the_one_agreed_on():
    got = client(OWNED, 20, SEEDED).ask(np.array([2, 2, 2, 6, 6, 6]))
    tokens = got.responses.tokens
    for row, like in ((1, 0), (4, 5)):
        tokens.values[tokens.offsets[row] : tokens.offsets[row + 1]] = tokens[like]
    assert agreeing(got).tolist() == [True, True, False, False, True, True]
    got.responses.cut[[0, 1]] = True
    assert agreeing(got).tolist() == [False, False, True, False, True, True]
    assert one_each(got.item, agreeing(got)).tolist() == [2, 4]
    got.responses.cut[:] = [False] * 6
    tokens.values[tokens.offsets[1]] += 1
    assert not agreeing(got)[:3].any(), "three answers, all different"


@pytest.mark.parametrize("bad", [{"share": 0.0}, {"share": 1.0}, {"rounds": 0}, {"tolerance": 0.0}])
def test_fields(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Sybil(**bad)
