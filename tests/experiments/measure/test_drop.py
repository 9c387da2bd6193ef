"""The paired drop of honest accuracy and its standard error, against what can be counted by hand."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from experiments.measure.drop import drop_table, paired_drop


def users(right: dict[str, bool], family: str = "chain") -> pl.DataFrame:
    return pl.DataFrame(
        {"item": list(right), "account": [0] * len(right), "family": family, "strict": list(right.values())}
    )


def test_one_seed_has_the_error_of_its_items():
    found = paired_drop([np.array([1.0, 0.0, 0.0, 0.0])])
    assert found.drop == 0.25
    assert found.error == pytest.approx(math.sqrt(0.25 / 4))  # variance of (1, 0, 0, 0) with 3 degrees of freedom: 1/4


def test_the_larger_of_the_spread_of_seeds_and_of_items_counts():
    apart = paired_drop([np.array([1.0, 1.0]), np.array([0.0, 0.0])])
    assert apart.drop == 0.5
    assert apart.error == pytest.approx(math.sqrt(0.5 / 2))
    alike = paired_drop([np.array([1.0, 0.0]), np.array([1.0, 0.0])])
    assert alike.error == pytest.approx(math.sqrt(0.5 / 2 + 0.5 / 2) / 2)


def test_the_error_is_that_of_repeated_draws():
    rng = np.random.default_rng(0)
    drops = [paired_drop([(rng.random(200) < 0.1).astype(float) for _ in range(3)]) for _ in range(400)]
    assert np.std([d.drop for d in drops]) == pytest.approx(math.sqrt(0.09 / 600), rel=0.15)
    assert np.mean([d.error for d in drops]) >= math.sqrt(0.09 / 600)


def test_requests_are_paired_by_item_whatever_their_order():
    clean = pl.concat([users({"a": True, "b": True}), users({"c": False, "d": True}, "code")])
    defended = pl.concat([users({"d": True, "c": True}, "code"), users({"b": False, "a": True})])
    table = {row["family"]: row for row in drop_table([defended], [clean]).to_dicts()}
    assert table["all"]["drop"] == 0.0
    assert table["chain"]["drop"] == 0.5
    assert table["code"]["drop"] == -0.5
    assert table["all"]["items"] == 4
