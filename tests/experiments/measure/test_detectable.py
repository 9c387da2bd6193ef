"""What a classifier can tell of defended texts: nothing where there is nothing, everything where there is."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.measure.detectable import LEAST, auroc, detectability
from lm.ragged import Ragged


def texts(rng, count=300, tokens=20, most=40):
    return [rng.integers(0, tokens, int(n)) for n in rng.integers(5, most, count)]


def found(clean, defended, seed=0):
    return detectability(Ragged.of(clean), Ragged.of(defended), np.random.default_rng(seed))


def test_texts_of_one_distribution_are_not_told_apart():
    values = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        values.append(found(texts(rng), texts(rng), seed))
    assert np.mean(values) == pytest.approx(0.5, abs=0.03)


def test_equal_texts_are_a_coin_flip():
    clean = texts(np.random.default_rng(0))
    assert found(clean, clean) == pytest.approx(0.5)


def test_a_text_that_only_stops_earlier_shows_nothing():
    clean = texts(np.random.default_rng(0))
    assert found(clean, [row[: max(1, len(row) // 2)] for row in clean]) == pytest.approx(0.5)


def test_order_alone_gives_a_text_away():
    """Rising tokens against the same tokens falling: single tokens say nothing, pairs say all."""
    rng = np.random.default_rng(0)
    clean = [np.sort(row) for row in texts(rng)]
    assert found(clean, [row[::-1] for row in clean]) > 0.98


def test_what_is_longer_is_cut_to_its_pair():
    """Defended texts say one more thing at the end, which is never looked at."""
    clean = texts(np.random.default_rng(0))
    assert found(clean, [np.append(row, 99) for row in clean]) == pytest.approx(0.5)


def test_few_pairs_say_nothing():
    clean = texts(np.random.default_rng(0), count=LEAST - 1)
    assert found(clean, clean) is None
    assert found([*clean, []], [*clean, [1, 2]]) is None


def test_auroc_counts_ties_half():
    assert auroc(np.array([0.0, 1.0]), np.array([1.0, 2.0])) == 0.875
