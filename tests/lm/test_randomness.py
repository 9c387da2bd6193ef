import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lm.randomness import chosen, mixed, seeds_of_each, uniforms


def test_splitmix_is_the_published_one():
    """First outputs of the generator seeded with 1234567, as in its reference implementation (Vigna's splitmix64.c)."""
    state = np.uint64(1234567) + np.uint64(0x9E3779B97F4A7C15) * np.arange(5, dtype=np.uint64)
    assert mixed(state).tolist() == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821
    ]  # fmt: skip


@given(st.integers(-(2**63), 2**63 - 9), st.integers(2, 8))
def test_seeds_of_neighbours_do_not_meet(seed, n):
    seeds = np.arange(8) + np.int64(seed)
    of_each = seeds_of_each(seeds, n)
    assert len(np.unique(of_each)) == 8 * n
    assert (of_each.reshape(8, n)[:, 0] == seeds).all(), "the first draw is that of a single one"
    assert (seeds_of_each(seeds, 1) == seeds).all()
    assert (seeds_of_each(seeds, n + 1).reshape(8, n + 1)[:, :n].reshape(-1) == of_each).all()


def test_draws_of_one_seed_are_independent():
    numbers = uniforms(seeds_of_each(np.arange(4000), 3), np.zeros(12_000, np.int64), 1)[:, 0].reshape(-1, 3)
    assert np.abs(np.corrcoef(numbers.T) - np.eye(3)).max() < 0.05
    assert np.abs(np.corrcoef(numbers[:-1, 1], numbers[1:, 0])[0, 1]) < 0.05


def test_chosen_pairs_are_those_whose_mixed_word_is_small():
    rng = np.random.default_rng(0)
    words, others = (rng.integers(0, 2**64, size, np.uint64) for size in (50, (50, 40)))
    for share in (0.1, 0.5, 0.9):
        limit = np.uint64(int(share * 2**64))
        assert np.array_equal(chosen(words, others, share), mixed(words[:, None] ^ others) < limit)
        assert np.array_equal(chosen(words, others[:1], share), mixed(words[:, None] ^ others[:1]) < limit)
        assert abs(chosen(words, others, share).mean() - share) < 0.05
