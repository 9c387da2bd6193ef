"""Mean L1 distances with their errors."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from experiments.measure.sold_distance import distance_table, mean_distance


def test_is_the_mean_over_tokens_and_not_over_texts():
    found = mean_distance([np.array([1.0, 0.0])], [np.array([1.0, 3.0])])
    assert found.l1 == 0.25
    assert found.error == pytest.approx(np.sqrt(2 * (0.75**2 + 0.75**2)) / 4)


def test_the_error_is_that_of_repeated_draws():
    rng = np.random.default_rng(0)

    def drawn():
        tokens = rng.integers(1, 40, 200).astype(float)
        return mean_distance([rng.uniform(0, 1, 200) * tokens], [tokens])

    many = [drawn() for _ in range(300)]
    assert np.mean([m.error for m in many]) == pytest.approx(np.std([m.l1 for m in many]), rel=0.15)


def test_seeds_that_differ_count_with_their_spread():
    one, other = np.array([0.2, 0.2]), np.array([0.6, 0.6])
    found = mean_distance([one, other], [np.ones(2), np.ones(2)])
    assert found == (pytest.approx(0.4), pytest.approx(0.2))


def test_families_and_texts_without_tokens():
    table = pl.DataFrame({"family": ["a", "a", "b"], "tokens": [2, 4, 0], "l1": [1.0, 2.0, 0.0], "top1": [2, 4, 0]})
    found = distance_table([table])
    assert found["family"].to_list() == ["all", "a"]
    assert found["l1"].to_list() == [0.5, 0.5]
