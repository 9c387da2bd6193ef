from __future__ import annotations

import hashlib
import re
import time
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from configs.errors import ConfigError
from defenses.admission import sight
from defenses.admission.sight import embedding_of, hashing_embedding, minhash_sketch, sketch_of
from lm.ragged import Ragged
from teacher.api.schema import Prompts

TEXTS = st.lists(st.text(alphabet=st.sampled_from("ab cd éß漢 \n.0"), max_size=40), max_size=12)


def prompts(texts, **columns):
    return Prompts(texts, Ragged.of([]), **columns)


def shingles(text):
    words = re.findall(r"\w+", text.lower())
    words += [""] * (3 - len(words))
    return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}


def words(rng, count):
    return [f"w{n}" for n in rng.integers(0, 10**9, count)]


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_every_text_has_a_unit_vector_and_a_bucket(texts):
    vectors, buckets = hashing_embedding(texts), minhash_sketch(texts)
    assert vectors.shape == (len(texts), sight.WIDTH)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.square(vectors, dtype=np.float64).sum(1), 1, atol=1e-6)
    assert buckets.shape == (len(texts),)
    assert buckets.dtype == np.int32


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.integers(0, 12))
def test_later_texts_change_nothing_about_earlier_ones(texts, count):
    np.testing.assert_array_equal(minhash_sketch(texts)[:count], minhash_sketch(texts[:count]))
    np.testing.assert_array_equal(hashing_embedding(texts)[:count], hashing_embedding(texts[:count]))


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_the_same_words_get_the_same_bucket_and_foreign_ones_another(texts):
    buckets = minhash_sketch([*texts, *(text.upper().replace("ß".upper(), "ß") + " !" for text in texts)])
    for i, j in combinations(range(len(texts)), 2):
        if not shingles(texts[i]) & shingles(texts[j]) and shingles(texts[i]) != shingles(texts[j]):
            assert (buckets[i] == buckets[j]) <= any(
                shingles(texts[k]) & shingles(texts[i]) and shingles(texts[k]) & shingles(texts[j]) for k in range(j)
            )
    same = [i for i, text in enumerate(texts) if shingles(text.upper()) == shingles(text)]
    np.testing.assert_array_equal(buckets[same], buckets[len(texts) :][same])


def test_signatures_agree_as_often_as_the_sets_overlap():
    rng = np.random.default_rng(0)
    errors = []
    for shared in (0, 20, 60, 120):
        common = words(rng, shared)
        texts = [" ".join(common + words(rng, 140 - shared)) for _ in range(2)]
        hashes, start = sight._shingles(texts)
        assert len(hashes) == 2 * 138
        salts = sight._mixed(np.arange(1, 4001, dtype=np.uint64))
        signature = np.empty((2, 4000), np.uint64)
        sight._sign(hashes, np.append(start, len(hashes)), salts, signature)
        a, b = map(shingles, texts)
        exact = len(a & b) / len(a | b)
        found = (signature[0] == signature[1]).mean()
        errors.append((found - exact) / np.sqrt(max(exact * (1 - exact), 1e-9) / 4000))
    assert errors[0] == 0
    assert np.abs(errors).max() < 4


@pytest.mark.parametrize("shared", [0, 20, 45, 80, 120])
def test_near_copies_share_a_bucket_as_often_as_bands_are_shared(shared):
    rng = np.random.default_rng(shared)
    same, pairs = 0, 300
    for _ in range(pairs):
        common = words(rng, shared)
        texts = [" ".join(common + words(rng, 140 - shared)) for _ in range(2)]
        same += len(set(minhash_sketch(texts).tolist())) == 1
    overlap = max(shared - 2, 0)
    jaccard = overlap / (2 * 138 - overlap)
    expected = binom.sf(sight.SHARED - 1, sight.BANDS, jaccard**sight.ROWS)
    assert binom.cdf(same, pairs, expected) > 1e-4
    assert binom.sf(same - 1, pairs, expected) > 1e-4


def test_the_docstring_gives_the_probabilities_of_today():
    said = re.search(r"probability ([\d./ ]+) at J = ([\d./ ]+);", " ".join(minhash_sketch.__doc__.split()))
    for probability, jaccard in zip(said[1].split(" / "), said[2].split(" / "), strict=True):
        exact = binom.sf(sight.SHARED - 1, sight.BANDS, float(jaccard) ** sight.ROWS)
        assert f"{exact:.2f}" == probability


def test_groups_are_those_of_a_plain_implementation():
    """Leaders found by comparing with every earlier leader, signatures by sorting."""
    rng = np.random.default_rng(3)
    base = [words(rng, 30) for _ in range(25)]
    texts = []
    for _ in range(200):
        first, second = rng.integers(0, 25, 2)
        cut = rng.integers(5, 30)
        texts.append(" ".join(base[first][:cut] + base[second][cut:]))
    hashes, start = sight._shingles(texts)
    bounds = [*start, len(hashes)]
    salts = sight._mixed(np.arange(1, sight.BANDS * sight.ROWS + 1, dtype=np.uint64))
    sign = [[sorted(sight._mixed(hashes[a:b] ^ salt))[0] for salt in salts] for a, b in pairwise(bounds)]
    bands = [{(i, *row[i : i + sight.ROWS]) for i in range(0, len(row), sight.ROWS)} for row in sign]
    leader = []
    for i, own in enumerate(bands):
        shares = [(len(own & bands[j]), -j) for j in range(i) if leader[j] == j]
        most, j = max(shares, default=(0, 0))
        leader.append(-j if most >= sight.SHARED else i)
    assert 25 < len(set(leader)) < 190
    buckets = minhash_sketch(texts)
    np.testing.assert_array_equal(buckets[leader], buckets)
    assert len(set(buckets.tolist())) == len(set(leader))


def test_shared_words_make_texts_alike():
    a, b, c = hashing_embedding(
        [
            "Explain how lithium batteries age in winter.",
            "How do lithium batteries age?",
            "Write a limerick about a baker from Ghent.",
        ]
    )
    assert a @ b > 0.5 > 0.2 > abs(a @ c)


def test_products_are_those_of_the_whole_bag():
    """Against counts of words in a plain dictionary, with square roots: 512 features are nearly as good as all."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    rng = np.random.default_rng(0)
    vocabulary = words(rng, 500)
    texts = [" ".join(rng.choice(vocabulary[:60], 30)) + " the of " for _ in range(120)]
    bags = np.zeros((120, 500))
    for row, text in enumerate(texts):
        for word in text.split():
            if word not in ENGLISH_STOP_WORDS:
                bags[row, vocabulary.index(word)] += 1
    bags = np.sqrt(bags / bags.sum(1, keepdims=True))
    vectors = hashing_embedding(texts)
    error = (vectors @ vectors.T - bags @ bags.T)[np.triu_indices(120, 1)]
    assert np.sqrt(np.mean(error**2)) < 2 / np.sqrt(sight.WIDTH)


def test_what_is_given_is_taken():
    vectors, buckets = np.eye(2, dtype=np.float32), np.array([4, 5], np.int32)
    given_ = prompts(["a", "b"], embedding=vectors, sketch=buckets)
    memory = {}
    assert embedding_of(given_, memory) is vectors
    assert sketch_of(given_, memory) is buckets
    assert not memory


def test_what_is_made_is_made_once_for_the_same_prompts_only():
    memory = {"mine": 1}
    first, second = prompts(["one text", "another text"]), prompts(["a third text", "a fourth one"])
    made = embedding_of(first, memory), sketch_of(first, memory)
    np.testing.assert_array_equal(made[0], hashing_embedding(first.texts))
    np.testing.assert_array_equal(made[1], minhash_sketch(first.texts))
    assert embedding_of(first, memory) is made[0]
    assert sketch_of(first, memory) is made[1]
    np.testing.assert_array_equal(embedding_of(second, memory), hashing_embedding(second.texts))
    np.testing.assert_array_equal(sketch_of(second, memory), minhash_sketch(second.texts))
    np.testing.assert_array_equal(embedding_of(first, memory), made[0])
    assert memory["mine"] == 1


@pytest.mark.parametrize(
    ("columns", "field"),
    [
        ({"embedding": np.ones((3, 2), np.float32)}, "prompts.embedding"),
        ({"embedding": np.ones(2, np.float32)}, "prompts.embedding"),
        ({"sketch": np.ones(1, np.int32)}, "prompts.sketch"),
    ],
)
def test_columns_of_another_length_are_refused(columns, field):
    read = embedding_of if "embedding" in columns else sketch_of
    with pytest.raises(ConfigError, match=field):
        read(prompts(["a", "b"], **columns), {})


def test_ten_thousand_texts_take_a_moment():
    rng = np.random.default_rng(0)
    vocabulary = np.array(words(rng, 5000))
    texts = [" ".join(row) for row in vocabulary[rng.integers(0, 5000, (10_000, 40))]]
    minhash_sketch(texts[:2])
    hashing_embedding(texts[:2])
    before = time.process_time()
    hashing_embedding(texts)
    minhash_sketch(texts)
    assert time.process_time() - before < 10  # measured: 0.9 s; the limit is for slow machines


def test_values_are_the_same_everywhere():
    texts = ["Write a function that groups anagrams.", "Why is the sky blue?", ""]
    assert minhash_sketch(texts).tolist() == [151303138, 1814695739, 1270713627]
    assert hashlib.sha256(hashing_embedding(texts).tobytes()).hexdigest()[:16] == "308e25671e1709e3"
