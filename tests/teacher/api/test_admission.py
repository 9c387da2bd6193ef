"""Admission apart from the gateway: the order of the checks, and what is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from defenses.admission.limits.query_quota import QueryQuota
from defenses.base import Defense
from lm.ragged import Ragged
from teacher.api.accounts import Accounts
from teacher.api.admission import Admission
from teacher.api.clock import VirtualClock
from teacher.api.ledger import Ledger
from teacher.api.prices import Prices
from teacher.api.schema import FORBIDDEN, Prompts, Requests, Verdicts

PROMPTS = Prompts(["a", "b"], Ragged.of([]))


@dataclass(frozen=True)
class Odd(Defense):
    """Refuses every account of odd number; notes what it was shown."""

    source: ClassVar[str] = "the test"

    def admit(self, requests, state):
        state.memory.setdefault("shown", []).append((requests.account.tolist(), np.asarray(state.max_tokens).tolist()))
        verdicts = Verdicts.admitted(len(requests))
        odd = requests.account % 2 == 1
        verdicts.status[odd], verdicts.retry_after[odd], verdicts.reason[odd] = FORBIDDEN, 7.0, "odd"
        return verdicts


@dataclass(frozen=True)
class Silent(Defense):
    """Admits all by saying nothing."""

    source: ClassVar[str] = "the test"

    def admit(self, requests, state):
        return None


@dataclass(frozen=True)
class Later(Defense):
    """Acts on answers only."""

    source: ClassVar[str] = "the test"

    def release(self, responses, context):
        return responses


def admission(**defenses):
    table = Accounts()
    table.open(6)
    return Admission(defenses, table, Prices(), VirtualClock(), Ledger())


def requests(*account):
    who = np.array(account, np.int32)
    tokens = np.full(len(who), 100, np.int32)
    return Requests(
        np.arange(len(who), dtype=float), who, np.zeros(len(who), np.int64), tokens, np.zeros(len(who), np.int64)
    )


def test_checks_come_in_their_order_and_later_ones_see_what_is_left():
    desk = admission(first=Odd(), none=Silent(), quota=QueryQuota(queries=1))
    desk.accounts.ban(np.array([4]))
    asked = requests(0, 1, 2, 4, 9, -1, 0, 2)
    verdicts = desk.judge(asked, PROMPTS, np.arange(10, 18, dtype=np.int32))
    assert verdicts.status.tolist() == [200, 403, 200, 403, 401, 401, 429, 429]
    assert verdicts.reason.tolist() == [
        "",
        "odd",
        "",
        "account_disabled",
        *["unknown_account"] * 2,
        *["query_quota"] * 2,
    ]
    assert verdicts.retry_after[1] == 7
    assert np.isnan(np.delete(verdicts.retry_after, 1)).all()
    assert desk.memory["first"]["shown"] == [([0, 1, 2, 0, 2], [10, 11, 12, 16, 17])]
    frame = desk.ledger.frame()
    assert frame["refused_by"].to_list() == ["", "first", "", *["accounts"] * 3, "quota", "quota"]
    assert frame["output_tokens"].to_list() == [10, 0, 12, 0, 0, 0, 0, 0]
    dollars = [(100 * 3 + tokens * 15) / 1e6 for tokens in (10, 12)]
    assert frame["dollars"].to_list() == pytest.approx([dollars[0], 0, dollars[1], 0, 0, 0, 0, 0])
    assert desk.clock.now == 7.0


def test_wrong_parameters_are_refused_before_anything_else_is_asked():
    desk = admission(first=Odd())
    verdicts = desk.judge(requests(0, 9), PROMPTS, 5, fault="temperature")
    assert verdicts.status.tolist() == [400, 400]
    assert verdicts.reason.tolist() == ["temperature"] * 2
    assert desk.memory["first"] == {}


def test_defenses_that_do_not_admit_are_passed_over():
    assert list(admission(first=Odd(), later=Later()).limits) == ["first"]


def test_nobody_asks():
    desk = admission(first=Odd())
    assert len(desk.judge(requests(), PROMPTS, 5).status) == 0
    assert desk.clock.now == 0.0


def test_where_all_are_refused_the_rest_is_not_asked():
    desk = admission(first=QueryQuota(queries=1), second=Odd())
    desk.judge(requests(0), PROMPTS, 5)
    desk.judge(requests(0, 0), PROMPTS, 5)
    assert len(desk.memory["second"]["shown"]) == 1
