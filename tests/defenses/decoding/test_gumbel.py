"""The Gumbel-max watermark: the distribution is the scores', the draw is the key's, and the test is exact."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import gammaincc

from configs.errors import ConfigError
from defenses.decoding.gumbel import Gumbel
from defenses.decoding.marks import context_words, token_words
from defenses.decoding.temperature import Temperature
from lm.ragged import Ragged
from lm.randomness import pair_uniforms
from lm.types import Sampling
from tests.defenses.decoding.drawing import (
    PROMPTS,
    TAU,
    TEACHER,
    Marked,
    assert_batch_says_nothing,
    detection,
    drawn,
    logits,
    processors,
)
from tests.defenses.decoding.test_lads import fits

MARK = Gumbel(key=3)


def xi(mark, context, secret=5):
    """(V,) numbers after one context."""
    words = context_words(np.array([context]), mark.key, secret)
    return pair_uniforms(words, token_words(np.arange(24)))[0]


def test_numbers_are_uniform_and_independent():
    words = context_words(np.random.default_rng(0).integers(0, 1000, (300, 2)), 1, 2)
    numbers = pair_uniforms(words, token_words(np.arange(300)))
    assert stats.kstest(numbers.ravel(), "uniform").pvalue > 0.01
    assert ((numbers > 0) & (numbers < 1)).all()
    for other in (np.roll(numbers, 1, 0), np.roll(numbers, 1, 1)):
        assert abs(np.corrcoef(numbers.ravel(), other.ravel())[0, 1]) < 0.015


@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_each_token_is_the_one_with_the_largest_root(tau):
    found = drawn(processors(MARK), tau)
    for r, row in enumerate(found.tokens):
        for t in range(len(row)):
            prefix = [*PROMPTS[r], *row[:t]]
            p = (logits(TEACHER, prefix) / tau).double().softmax(-1).numpy()
            assert row[t] == np.argmax(xi(MARK, prefix[-2:]) ** (1 / p))


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_over_keys_tokens_have_the_distribution_of_the_scores(share):
    n, ids = 1500, torch.tensor([[1, 5, 6]])
    scores = torch.log_softmax(2 * torch.randn(1, 24, generator=torch.Generator().manual_seed(1)), -1)
    expected = scores[0].double().exp().numpy()
    usual = torch.from_numpy(np.random.default_rng(0).choice(24, n, p=expected / expected.sum()))
    tokens = [
        int(processors(Gumbel(share), seed=seed)[0].draw(ids, scores, usual[seed : seed + 1])) for seed in range(n)
    ]
    assert fits(np.array(tokens), expected)
    kept = np.mean(np.array(tokens) == usual.numpy())
    chance = (expected**2).sum()
    assert kept == pytest.approx(chance + (1 - share) * (1 - chance), abs=0.03), "drawn anew in its share of contexts"


def test_the_same_prompt_and_secret_give_the_same_text_whatever_the_clients_seed():
    first, again = (drawn(processors(MARK), seed=seed, most=12) for seed in (1, 77))
    assert first.tokens.values.tolist() == again.tokens.values.tolist()
    other = drawn(processors(MARK, seed=6), seed=1, most=12)
    assert first.tokens.values.tolist() != other.tokens.values.tolist()
    some = [drawn(processors(Gumbel(0.5)), seed=seed, most=12).tokens.values.tolist() for seed in (1, 77)]
    assert some[0] != some[1], "contexts that are not keyed are drawn by the client's seed"


def test_sold_logprobs_are_the_teachers_and_scored_texts_and_greedy_rows_as_without():
    marked, plain = drawn(processors(MARK), TAU), drawn([], TAU)
    assert marked.tokens[3].tolist() == plain.tokens[3].tolist(), "greedy"
    assert marked.tokens.values.tolist() != plain.tokens.values.tolist()
    first = [one.top_logprobs[one.tokens.offsets[:-1]] for one in (marked, plain)]
    np.testing.assert_array_equal(*first)
    scored = [
        TEACHER.generate(PROMPTS, Sampling(TAU, top_logprobs=24), np.arange(4), acting, forced=marked.tokens)
        for acting in (processors(MARK), [])
    ]
    for name in ("logprob", "top_logprobs"):  # normalised once more, to the last digit
        np.testing.assert_allclose(getattr(scored[0], name), getattr(scored[1], name), atol=1e-6)
    np.testing.assert_array_equal(scored[0].tokens.values, marked.tokens.values)
    np.testing.assert_allclose(scored[0].logprob, marked.logprob, atol=1e-5)
    assert np.array_equal(drawn(processors(MARK), 0.0).tokens.values, drawn([], 0.0).tokens.values)


def test_it_draws_from_what_the_other_processors_leave():
    flat = processors(Temperature(3.0))
    one, other = drawn([*flat, *processors(MARK)]), drawn([*processors(MARK), *flat])
    assert one.tokens.values.tolist() == other.tokens.values.tolist()
    prefix = list(PROMPTS[0])
    p = (logits(TEACHER, prefix) / 3).double().softmax(-1).numpy()
    assert one.tokens[0][0] == np.argmax(xi(MARK, prefix[-2:]) ** (1 / p))
    forbidden = torch.zeros(1, 24).index_fill(1, torch.arange(20), -torch.inf)
    assert processors(MARK)[0].draw(torch.tensor([[1, 5]]), forbidden, torch.tensor([3])) >= 20


def test_two_that_choose_are_refused():
    with pytest.raises(ValueError, match="two processors"):
        drawn([*processors(MARK), *processors(Gumbel(0.5))])


def test_generation_does_not_depend_on_the_batch():
    assert_batch_says_nothing(MARK, temperature=TAU)
    assert_batch_says_nothing(Gumbel(0.5))


def test_evidence_is_the_gamma_test_of_different_pairs():
    answers = Ragged.of([[3, 4, 3, 4, 3, 9], [8, 3, 4]])
    mark = Gumbel(width=1, key=2)
    found = mark.evidence(Ragged.of([[3], [9, 8]]), answers, 5)
    pairs = {(3, 3), (3, 4), (4, 3), (3, 9), (8, 8), (8, 3)}
    total = sum(-np.log(1 - xi(mark, [c])[x]) for c, x in pairs)
    assert found.looked_at == 6
    assert found.p == pytest.approx(gammaincc(6, total))
    assert found.statistic == pytest.approx((total - 6) / np.sqrt(6))


def test_only_keyed_contexts_are_looked_at():
    mark, context = Gumbel(0.3), np.random.default_rng(0).integers(0, 50, (2000, 2))
    words = context_words(context, mark.key, 5)
    assert mark.keyed(words).mean() == pytest.approx(0.3, abs=0.03)
    tokens = np.arange(2000) % 24
    found = mark.finding(context, tokens, 5)
    assert found == mark.finding(context[mark.keyed(words)], tokens[mark.keyed(words)], 5)
    assert found.looked_at == mark.keyed(words).sum()
    none = ~mark.keyed(words)
    assert mark.finding(context[none], tokens[none], 5) is None


def test_a_watermarked_suspect_is_found_and_others_are_not():
    mark = Gumbel(tokens=30)
    marked = Marked(TEACHER, mark, 5)
    found = mark.detect(detection(marked))
    assert found.p < 1e-12
    assert mark.detect(detection(marked, secret=6)).p > 1e-3
    assert dataclasses.replace(mark, key=1).detect(detection(marked)).p > 1e-3
    assert mark.detect(detection(TEACHER)).p > 1e-3
    weaker = dataclasses.replace(mark, share=0.3)
    assert 1e-3 > weaker.detect(detection(Marked(TEACHER, weaker, 5))).p > found.p


@pytest.mark.parametrize(("field", "value"), [("share", -0.1), ("share", 1.1), ("width", 0), ("tokens", 0)])
def test_refuses_impossible_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        Gumbel(**{field: value})
