"""Refusals, waits and false alarms of honest users, by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from experiments.measure.honest_load import load_numbers, load_table, nobody, percentiles


def accounts():
    """300 accounts with one request each, a batch user with 700 of which 70 were refused, and one who never sent
    anything."""
    count = 302
    requests = np.array([1] * 300 + [700, 0])
    return pl.DataFrame(
        {
            "account": np.arange(count, dtype=np.int32),
            "kind": ["chat_mid"] * 299 + ["ci_agent", "synthetic_data", "ci_agent"],
            "hard": [False] * 299 + [True] * 3,
            "requests": requests,
            "refused": np.array([0] * 300 + [70, 0]),
            "waited": np.array([2.0] + [0.0] * 299 + [7000.0, 0.0]),
            "puzzle_seconds": np.array([0.0] * 300 + [350.0, 0.0]),
            "shut_out": np.array([True] * 3 + [False] * 297 + [True, False]),
            "banned": np.zeros(count, bool),
            "dollars": np.ones(count),
        }
    )


def judged():
    who = np.repeat(accounts()["account"].to_numpy(), accounts()["requests"].to_numpy())
    waited = np.where(who == 300, 10.0, 0.0)
    waited[0] = 2.0
    return pl.DataFrame({"account": who, "waited": waited})


def test_numbers_of_groups():
    found = load_numbers(load_table(accounts(), judged()))
    assert found["load_accounts", "everybody"] == 301, "who sends nothing loses nothing"
    assert found["load_refused", "everybody"] == pytest.approx(70 / 1000)
    assert found["load_refused", "heaviest_0.1"] == found["load_refused", "synthetic_data"] == pytest.approx(0.1)
    assert found["load_accounts", "heaviest_1"] == 4
    assert found["load_refused", "heaviest_1"] == pytest.approx(70 / 703)
    assert found["load_refused", "hard_negatives"] == pytest.approx(70 / 701)
    assert found["load_refused", "chat_mid"] == 0
    assert found["load_wait", "everybody"] == pytest.approx(7.002)
    assert found["load_wait_p95", "everybody"] == 10
    assert found["load_wait_p95", "chat_mid"] == 0
    assert found["load_puzzle", "synthetic_data"] == pytest.approx(0.5)
    assert found["load_false_alarms", "everybody"] == pytest.approx(4 / 301)
    assert found["load_false_alarms", "hard_negatives"] == pytest.approx(1 / 2)


def test_nothing_is_said_where_nothing_is_judged():
    assert load_numbers(nobody()) == {}


def test_percentiles_count_who_sent_anything():
    assert percentiles(pl.Series([0, 1, 1, 5, 2])).to_list() == pytest.approx([0, 50, 50, 100, 75])
