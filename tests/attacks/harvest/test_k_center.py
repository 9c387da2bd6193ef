from itertools import combinations

import numpy as np
import pytest

from attacks.base import Pool
from attacks.harvest.k_center import Coverage, farthest_first, word_vectors
from configs.errors import ConfigError
from tests.attacks.world import client, harvest_context, pool


def radius(points, centers):
    return np.sqrt(((points[:, None] - points[list(centers)]) ** 2).sum(-1)).min(1).max()


@pytest.mark.parametrize("seed", range(5))
def test_no_further_than_twice_the_best_choice(seed):
    points = np.random.default_rng(seed).normal(size=(14, 3))
    chosen = farthest_first(points, 4, seed)
    assert len(set(chosen.tolist())) == 4
    best = min(radius(points, centers) for centers in combinations(range(14), 4))
    assert radius(points, chosen) <= 2 * best + 1e-9


def test_each_next_one_is_the_farthest_from_those_before():
    points = np.random.default_rng(0).normal(size=(30, 2))
    chosen = farthest_first(points, 10, 3)
    assert chosen[0] == 3
    for k in range(1, 10):
        apart = np.sqrt(((points[:, None] - points[chosen[:k]]) ** 2).sum(-1)).min(1)
        assert apart[chosen[k]] == pytest.approx(apart.max())


def test_equal_prompts_come_last_and_none_comes_twice():
    points = np.array([[0.0, 1], [1, 0], [0, 1], [1, 0], [-1, 0]])
    chosen = farthest_first(points, 5, 0).tolist()
    assert sorted(chosen) == [0, 1, 2, 3, 4]
    assert set(chosen[:3]) == {0, 1, 4}


def test_vectors_are_of_the_words_and_their_order():
    v = word_vectors(["a b c", "A  b c", "c b a", "x y z", ""], 2)
    np.testing.assert_allclose((v[:4] ** 2).sum(1), 1, rtol=1e-6)
    assert (v[4] == 0).all()
    np.testing.assert_array_equal(v[0], v[1])
    assert abs(v[0] @ v[2] - 0.6) < 1e-6, "3 of 5 runs, each of weight 1/5"
    assert abs(v[0] @ v[3]) < 0.3
    single = word_vectors(["a b c", "c b a"], 1)
    assert single[0] @ single[1] == pytest.approx(1)


def test_asks_every_kind_of_prompt_before_a_second_of_any():
    kinds = ["one two three", "four five six", "seven eight nine", "ten eleven twelve"]
    texts = [f"{kinds[i // 10]} {['u', 'v'][i % 2]}" for i in range(40)]
    owned = Pool(texts, np.array(["chain"] * 40, object), {"chain": 1.0})
    got = Coverage().run(client(pool({"chain": 40}), 4), owned, harvest_context())
    assert sorted(got.item // 10) == [0, 1, 2, 3]


def test_spends_the_budget_in_the_mix():
    owned = pool({"chain": 60, "facts": 20})
    got = Coverage().run(client(owned, 40), owned, harvest_context())
    assert len(np.unique(got.item)) == 40
    assert (owned.family[got.item] == "facts").sum() == 10
    assert 1 <= (owned.family[got.item[:12]] == "facts").sum() <= 6, "a harvest cut short keeps the mix"


def test_fields():
    with pytest.raises(ConfigError, match="ngrams"):
        Coverage(ngrams=0)
