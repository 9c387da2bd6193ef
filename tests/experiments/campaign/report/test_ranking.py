"""The ranking of policies, and that it recommends no more than the ranges over seeds carry."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.campaign.report.ranking import ranking, seeds_needed
from experiments.measure.estimate import Estimate


def summary(policy, share, gone=(0.0, 0.0, 0.0), seeds=tuple(range(6))):
    held = {"usable_share": Estimate(*share), "honest_gone_share": Estimate(*gone), "dollars_per_usable": Estimate(0.1)}
    return SimpleNamespace(policy=policy, seeds=seeds, of=held.__getitem__)


NONE, LOW = summary("none", (0.9, 0.8, 1.0)), (0.2, 0.1, 0.3)


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        (
            [NONE, summary("linking", LOW, (0.02, 0.01, 0.03))],
            "linking lets the least .* undefended cost honest users less",
        ),
        ([NONE, summary("linking", LOW)], "apart from all others.$"),
        ([NONE, summary("linking", (0.5, 0.1, 0.85))], "Undecided in 6 seeds between linking and undefended"),
        ([NONE, summary("linking", LOW, seeds=(0,))], "No policy is recommended: .* 1 seed;.* 6 seeds can decide"),
        ([NONE, summary("linking", LOW, seeds=(0, 1, 2))], "No policy is recommended: .* 3 seeds;"),
    ],
)
def test_it_recommends_what_the_ranges_carry(policies, said):
    table, words = ranking(policies)
    assert [row["policy"] for row in table.rows] == ["linking", "undefended"]
    assert table.rows[0]["usable_share"].value == pytest.approx(100 * policies[1].of("usable_share").value)
    assert re.search(said, words), words


@pytest.mark.parametrize("policies", [2, 3, 5, 20])
def test_policies_that_do_the_same_are_seldom_told_apart(policies):
    needed = seeds_needed(policies)
    assert policies ** (1 - needed) <= 0.05 < policies ** (2 - needed)
    harvests = np.random.default_rng(policies).random((20_000, needed, policies))
    ahead = (harvests.argmin(2) == harvests.argmin(2)[:, :1]).all(1).mean()
    assert ahead == pytest.approx(policies ** (1.0 - needed), abs=0.006)


def test_one_policy_is_no_choice():
    assert ranking([NONE])[1] == ""
