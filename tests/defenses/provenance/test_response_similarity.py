from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, t

from configs.errors import ConfigError
from defenses.base import Detection, OwnItems, Preparation, Serving
from defenses.provenance.response_similarity import ResponseSimilarity, likeness, one_more, read, spelt
from lm.examples import Examples
from lm.ragged import Ragged
from teacher.api.schema import Prompts
from tests.defenses.provenance.suspects import PROXY, TEACHER, TEXTS, Bigram, V, bigram

SMALL = ResponseSimilarity(prompts=30, students=6, rows=40, tokens=8)
WORDS = st.lists(st.lists(st.sampled_from(["a", "b", "c"]), max_size=5).map(" ".join), min_size=1, max_size=4)


def test_likeness_is_the_mean_dice_coefficient_of_words_and_pairs():
    found = likeness(["a b c", "a b", "", "x"], ["a b d", "b a", "", "a"])
    np.testing.assert_allclose(found, [(2 * 2 / 6 + 2 * 1 / 4) / 2, (1 + 0) / 2, 1, (0 + 1) / 2])
    assert likeness(["a a b"], ["a b"])[0] == pytest.approx((2 * 2 / 5 + 2 * 1 / 3) / 2), "repeats count"


@given(WORDS)
def test_likeness_is_symmetric_bounded_and_one_for_the_same(texts):
    backwards = texts[::-1]
    found = likeness(texts, backwards)
    np.testing.assert_allclose(found, likeness(backwards, texts))
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_array_equal(likeness(texts, texts), 1)


@pytest.mark.parametrize("texts", [[], [""], ["", "a b", ""], ["3 +7 ?", "\n", "größer \U0001f600"]])
def test_texts_survive_as_tensors(texts):
    assert read(spelt(texts)) == texts


def test_one_more_is_a_prediction_interval():
    clean = np.array([0.2, 0.25, 0.3, 0.21])
    found = one_more(0.35, clean)
    expected = (0.35 - clean.mean()) / (clean.std(ddof=1) * np.sqrt(1.25))
    assert found.statistic == pytest.approx(expected)
    assert found.p == pytest.approx(t.sf(expected, 3))
    assert (found.looked_at, one_more(0.9, np.full(4, 0.5))) == (4, (1.0, 0.0, 4))


class World:
    """A provider whose clean students are the base with a habit of their own, and what it prepares."""

    def __init__(self, seed, shift=0.0):
        self.rng, self.shift, self.learnt, self.public_seeds = np.random.default_rng(seed), shift, [], []
        self.teacher = replace(TEACHER)
        object.__setattr__(self.teacher, "format", SimpleNamespace(channels=lambda tokens: np.ones(len(tokens.values))))

    def student(self):
        """One more of the population; with a share of what the teacher says."""
        own = 1.5 * self.rng.standard_normal((V, V))
        return Bigram(PROXY.table + own + self.shift * TEACHER.table)

    def fit(self, rows, steps=None):
        self.learnt.append(rows)
        return self.student()

    def items(self, count):
        texts = [TEXTS[i % len(TEXTS)] for i in range(count)]
        return OwnItems(
            Prompts(texts, TEACHER.encode_prompts(texts)), np.full(count, "f", object), lambda i, text: True
        )

    def public(self, count, seed):
        self.public_seeds.append(seed)
        tokens = Ragged.of([[5, 6]] * count)
        n = len(tokens.values)
        no = np.zeros(count, bool)
        return Examples(tokens, tokens, np.ones(n, np.uint8), np.ones(n, np.float32), np.full(count, -1), no)

    def prepared(self, defense=SMALL):
        own = {"items": self.items, "fit": self.fit, "public": self.public}
        return defense.prepare(Preparation(self.teacher, lambda: PROXY, None, self.rng, **own))


def look(suspect, prepared, defense=SMALL):
    serving = Serving(TEACHER, lambda name: PROXY, prepared)
    return defense.detect(Detection(suspect, [], serving, None, np.random.default_rng(0)))


def test_p_is_uniform_for_one_more_clean_student():
    found = []
    for seed in range(100):
        world = World(seed)
        found.append(look(world.student(), world.prepared()).p)
    assert kstest(found, "uniform").pvalue > 0.01
    assert np.mean(np.array(found) < 0.05) < 0.1


def test_a_student_of_the_teacher_is_found():
    world = World(0)
    prepared = world.prepared()
    like = [look(World(1, shift).student(), prepared).p for shift in (0.0, 3.0)]
    assert like[1] < 0.01 < like[0]
    assert look(TEACHER, prepared).p < 1e-5


def test_clean_students_learn_from_public_rows_and_from_answers_of_the_base():
    world = World(0)
    prepared = world.prepared()
    assert set(prepared) == {"asked", "teacher", *(f"clean_{k}" for k in range(6))}
    assert world.public_seeds == [1, 3, 5], "drawn anew for each"
    kinds = [bool((rows.completions.lengths == 2).all()) for rows in world.learnt]
    assert kinds == [True, False] * 3
    own = world.learnt[1]
    assert (own.completions.values[own.completions.offsets[1:] - 1] == 2).all(), "they end"
    by_base = PROXY.score(own.prompts, own.completions).logprob.mean()
    assert by_base > bigram(77).score(own.prompts, own.completions).logprob.mean()
    assert read(prepared["asked"]) == TEXTS[:30]


@pytest.mark.parametrize(("field", "value"), [("prompts", 0), ("students", 3), ("rows", 0), ("tokens", 0)])
def test_refuses_impossible_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        ResponseSimilarity(**{field: value})
