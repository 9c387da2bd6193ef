"""Pass@k: against binomials and counting, and over seeds and families."""

from itertools import combinations
from math import comb

import numpy as np
import polars as pl
import pytest

from experiments.measure.pass_at_k import KS, pass_at_k, pass_measures, sampled_once
from experiments.measure.transfer import POOLED


@pytest.mark.parametrize("n", [1, 5, 16])
def test_the_estimator_is_that_of_binomials(n):
    right = np.arange(n + 1)
    for k in range(1, n + 1):
        expected = [1 - comb(n - c, k) / comb(n, k) for c in right]
        np.testing.assert_allclose(pass_at_k(n, right, k), expected, atol=1e-12)


def test_it_is_the_share_of_subsets_with_a_right_one():
    right = np.array([1, 0, 0, 1, 0, 0])
    subsets = [any(right[list(s)]) for s in combinations(range(6), 3)]
    assert pass_at_k(6, np.array([2]), 3)[0] == pytest.approx(np.mean(subsets))


def table(rights, model="student", family="chain", n=16):
    rows = len(rights)
    return pl.DataFrame(
        {
            "item": [f"{family}/{i}" for i in range(rows)],
            "family": [family] * rows,
            "level": [1] * rows,
            "n": [n] * rows,
            "right": rights,
            "model": [model] * rows,
        }
    )


def test_measures_by_model_and_family_and_pooled():
    one = pl.concat([table([16, 0, 8, 0]), table([0, 16], family="code"), table([4, 4], "distilled")])
    two = pl.concat([table([16, 16]), table([0, 0], family="code")])
    found = pass_measures([one, None, two], [3, 4, 5])
    assert found["S_def_pass_at_1", "chain"].seeds == (3, 5)
    assert found["S_def_pass_at_1", "chain"].values.tolist() == [0.375, 1.0]
    assert found["S_def_pass_at_1", POOLED].point == pytest.approx((0.6875 + 0.25) / 2)
    assert found["S_def_distilled_pass_at_16", "chain"].values.tolist() == [1.0]
    by_k = [found[f"S_def_pass_at_{k}", "chain"].point for k in KS]
    assert by_k == sorted(by_k)
    assert found["S_def_pass_at_4", "chain"].bounded


def test_cells_that_do_not_refine_have_none_of_it():
    assert pass_measures([None, None], [0, 1]) == {}


def test_where_no_more_was_drawn_the_scores_tell_pass_at_1_alone():
    def scored(rights, **changes):
        rows = len(rights)
        columns = {"item": list("abcd")[:rows], "family": "chain", "split": "heldout", "decoding": "sampled"} | changes
        return pl.DataFrame({**columns, "strict": rights})

    student = pl.concat(
        [
            scored([True, False, True, True]),
            scored([True, False], family="code"),
            scored([False] * 4, decoding="greedy"),
            scored([False] * 4, split="harder"),
        ]
    )
    twice = scored([True, False, True, False], item=list("aabb"))
    found = pass_measures([sampled_once({"student": student, "distilled": twice, "teacher": student})], [0])
    assert {name for name, _ in found} == {"S_def_pass_at_1", "S_def_distilled_pass_at_1"}
    assert found["S_def_pass_at_1", "chain"].point == 0.75
    assert found["S_def_pass_at_1", POOLED].point == 0.625
    assert found["S_def_distilled_pass_at_1", "chain"].values.tolist() == [0.5]
    assert sampled_once({"student": student}) is None, "nobody refined it"
