"""Cohen's kappa against scikit-learn's, and its interval against what it promises."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from experiments.measure.agreement import agreement, rank_correlation

metrics = pytest.importorskip("sklearn.metrics")


def pair(rng, n, same, often=0.5):
    first = rng.random(n) < often
    return first, np.where(rng.random(n) < same, first, rng.random(n) < often)


@pytest.mark.parametrize("seed", range(20))
def test_kappa_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    first, second = pair(rng, int(rng.integers(2, 200)), rng.random(), 0.2 + 0.6 * rng.random())
    found = agreement(first, second)
    wanted = metrics.cohen_kappa_score(first, second, labels=[False, True])
    assert found.kappa is None if np.isnan(wanted) else found.kappa == pytest.approx(wanted)
    assert found.same == pytest.approx((first == second).mean())
    assert found.n == len(first)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """Truth: agreement on a share `same` of the texts, and chance on the others: kappa is `same`."""
    rng = np.random.default_rng(0)
    for n, same in ((20, 0.0), (60, 0.6)):
        held = [a.low <= same <= a.high for a in (agreement(*pair(rng, n, same)) for _ in range(120))]
        assert 0.9 <= np.mean(held) < 1, (n, same)


def test_a_judge_who_says_the_same_of_all_shows_nothing():
    truth = np.arange(60) % 2 == 0
    constant = agreement(np.ones(60, bool), truth)
    assert constant.kappa == 0
    assert constant.low < 0 < constant.high
    assert not constant.shown
    both = agreement(np.ones(60, bool), np.ones(60, bool))
    assert both.kappa is None
    assert both.same == 1
    assert not both.shown, "they agree, and chance alone explains it"
    assert agreement(truth, truth).shown
    assert agreement(truth, truth).kappa == 1
    assert agreement(truth, truth).low > 0.85
    assert agreement(truth[:0], truth[:0]) == (None, None, None, 0, None)


def test_the_same_texts_give_the_same_interval():
    rng = np.random.default_rng(1)
    first, second = pair(rng, 50, 0.4)
    order = rng.permutation(50)
    assert agreement(first, second) == agreement(first[order], second[order])


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 5, 40).astype(float), rng.random(40)
    assert rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert rank_correlation(np.ones(3), np.arange(3.0)) is None
