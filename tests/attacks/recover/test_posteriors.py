"""What was done to sold probabilities, undone by who has tried it out: on a map that is known."""

from dataclasses import replace

import numpy as np
import pytest

from attacks.knowledge import Rehearsed
from attacks.recover.invert_posterior import InvertPosterior
from attacks.recover.partial_bayes import PartialBayes
from attacks.recover.posterior_pairs import SoldPairs, bins, pairs_of, with_bins
from configs.errors import ConfigError
from lm.examples import Examples
from lm.ragged import Ragged
from tests.attacks.world import recover_context

K, ROWS, LONG = 3, 200, 6


def told(probs, item=None, tokens=None):
    """Rows of six tokens, each with three listed probabilities in falling order."""
    n = len(probs)
    ids = np.tile(np.arange(K, dtype=np.int32), (n, 1))
    order = np.argsort(-probs[:, :K], axis=1, kind="stable")
    rows = np.arange(n).reshape(-1, LONG) if tokens is None else tokens
    count = len(rows)
    with np.errstate(divide="ignore"):
        logs = np.log(np.take_along_axis(probs[:, :K], order, 1)).astype(np.float32)
    return Examples(
        Ragged.of([[1]] * count),
        Ragged.of((rows % 7).tolist()),
        np.full(n, 4, np.uint8),
        np.ones(n, np.float32),
        np.arange(count) if item is None else item,
        np.zeros(count, bool),
        np.take_along_axis(ids, order, 1),
        logs,
    )


def drawn(seed, rows=ROWS):
    return np.random.default_rng(seed).dirichlet(np.ones(K + 1) * 2, rows * LONG)


def squared(probs):
    """A deterministic map of distributions that keeps their order."""
    return probs**2 / (probs**2).sum(1, keepdims=True)


CONTEXT = recover_context()
KNOWN = Rehearsed(told(drawn(0)), told(squared(drawn(0))))
TRUTH = told(drawn(1, 60))
SOLD = told(squared(drawn(1, 60)))


def recovered(step, data=SOLD, known=KNOWN):
    return step.apply(data, replace(CONTEXT, rehearsed=known, rng=np.random.default_rng(3)))


def error(rows):
    """Mean L1 distance from the truth."""
    return np.abs(bins(rows) - bins(TRUTH)).sum(1).mean()


@pytest.mark.parametrize(
    ("step", "left"), [(InvertPosterior(epochs=300, lr=1e-2), 0.15), (PartialBayes(tolerance=0.03), 0.25)]
)
def test_a_known_map_is_undone(step, left):
    assert error(SOLD) > 0.3
    assert error(recovered(step)) < left * error(SOLD)


def test_the_mean_is_over_what_could_have_been_sold_so():
    """Two truths that are sold alike: by hand. A third is nearer than the tolerance allows to neither."""
    pairs = SoldPairs(np.array([[0.6, 0.4], [0.6, 0.4], [0.9, 0.1]]), np.array([[0.5, 0.5], [0.7, 0.3], [1.0, 0.0]]))
    sold = np.array([[0.6, 0.4], [0.61, 0.39], [0.89, 0.11], [0.76, 0.24]])
    found = PartialBayes(tolerance=0.05).posterior_means(pairs, sold)
    np.testing.assert_allclose(found, [[0.6, 0.4], [0.6, 0.4], [1.0, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(PartialBayes(tolerance=2.0).posterior_means(pairs, sold)[0], [2.2 / 3, 0.8 / 3])
    np.testing.assert_allclose(PartialBayes(tolerance=2.0, most=1).posterior_means(pairs, sold)[2], [1.0, 0.0])


@pytest.mark.parametrize("step", [InvertPosterior(epochs=5), PartialBayes()])
def test_what_comes_out_are_distributions_in_falling_order(step):
    found = recovered(step)
    probs = np.exp(found.top_logprobs.astype(np.float64))
    assert (np.diff(probs, axis=1) <= 1e-7).all()
    assert (probs.sum(1) <= 1 + 1e-6).all()
    assert np.array_equal(np.sort(found.top_ids, 1), np.sort(SOLD.top_ids, 1))
    np.testing.assert_array_equal(found.completions.values, SOLD.completions.values)


@pytest.mark.parametrize("step", [InvertPosterior(epochs=5), PartialBayes()])
def test_the_same_seed_finds_the_same(step):
    np.testing.assert_array_equal(recovered(step).top_logprobs, recovered(step).top_logprobs)


@pytest.mark.parametrize("step", [InvertPosterior(epochs=5), PartialBayes()])
def test_where_there_is_nothing_to_learn_rows_stay(step):
    plain = replace(SOLD, top_ids=None, top_logprobs=None)
    assert recovered(step, plain) is plain
    other = replace(KNOWN.served, completions=Ragged.of([[9] * LONG] * ROWS))
    assert recovered(step, known=Rehearsed(KNOWN.clean, other)) is SOLD, "no response came back as it was said"
    assert recovered(step, known=Rehearsed(KNOWN.clean, replace(KNOWN.served, top_ids=None))) is SOLD
    none = SOLD.take(np.zeros(0, np.int64))
    assert len(recovered(step, none)) == 0


def test_pairs_are_of_the_same_tokens_whatever_their_order():
    shuffled = KNOWN.served.take(np.random.default_rng(0).permutation(ROWS)[:50])
    pairs = pairs_of(Rehearsed(KNOWN.clean, shuffled))
    assert pairs.served.shape == pairs.clean.shape == (50 * LONG, K + 1)
    np.testing.assert_allclose(squared(pairs.clean), pairs.served, atol=1e-6)


def test_missing_entries_stay_missing():
    ids, logs = SOLD.top_ids.copy(), SOLD.top_logprobs.copy()
    ids[::2, 2], logs[::2, 2] = -1, -np.inf
    fewer = replace(SOLD, top_ids=ids, top_logprobs=logs)
    again = with_bins(fewer, bins(fewer))
    np.testing.assert_array_equal(again.top_ids, ids)
    np.testing.assert_allclose(again.top_logprobs, logs, atol=1e-6)
    assert bins(fewer, 5).shape == (len(ids), 6)
    np.testing.assert_allclose(bins(fewer, 5).sum(1), 1.0)


@pytest.mark.parametrize(
    ("step", "bad"),
    [
        (InvertPosterior, {"width": 0}),
        (InvertPosterior, {"epochs": 0}),
        (InvertPosterior, {"lr": 0.0}),
        (PartialBayes, {"tolerance": -0.1}),
        (PartialBayes, {"most": 0}),
    ],
)
def test_fields(step, bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        step(**bad)
