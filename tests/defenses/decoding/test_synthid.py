"""SynthID-Text: transformers' arithmetic on contexts of the text, its probabilities over keys, and a test that is exact."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, norm
from torch.nn.functional import log_softmax
from transformers import SynthIDTextWatermarkLogitsProcessor
from transformers.generation.logits_process import SynthIDTextWatermarkState

from configs.errors import ConfigError
from defenses.decoding.synthid import TABLE, TABLE_SEED, SynthID
from lm.ragged import Ragged
from lm.types import Sampling
from tests.defenses.decoding.drawing import (
    TAU,
    TEACHER,
    Marked,
    assert_batch_says_nothing,
    assert_every_step,
    detection,
    drawn,
    logits,
    processors,
)

MARK = SynthID(30, key=3)
IDS = torch.tensor([[0, 0, 1, 5, 9, 7], [1, 4, 4, 8, 20, 6]])


def theirs(mark, secret=5, history=1024):
    """Transformers' own processor with our keys."""
    keys = mark.coins(secret).keys.tolist()
    return SynthIDTextWatermarkLogitsProcessor(mark.width + 1, keys, TABLE, TABLE_SEED, history, torch.device("cpu"))


def g_of(mark, context, tokens, secret=5):
    """(X, layers) coins of tokens after one context."""
    ngrams = torch.tensor([[[*context, x] for x in tokens]])
    coins = theirs(mark, secret)
    return coins.sample_g_values(coins.compute_ngram_keys(ngrams))[0]


def by_hand(mark):
    """The tournament's probabilities, p(x)(1 + g(x) − Σ p g), at the client's temperature."""

    def at(row, prefix):
        p = (logits(TEACHER, prefix) / (TAU[row] or 1.0)).double().softmax(-1)
        context = [int(i) for i in prefix[-mark.width :]]
        windows = [[int(i) for i in prefix[t : t + mark.width]] for t in range(len(prefix) - mark.width)]
        if TAU[row] > 0 and context not in windows:
            for g in g_of(mark, context, range(24)).T.double():
                p = p * (1 + g - (p * g).sum())
        return p.log().clamp_min(-1e9).float()

    return at


@pytest.mark.parametrize("mark", [SynthID(3, width=1), SynthID(12, width=2, key=3)])
def test_every_step_is_the_tournaments_but_in_contexts_met_before_and_where_greedy(mark):
    assert_every_step(drawn(processors(mark, temperature=TAU), TAU, most=12), by_hand(mark))


def test_scores_are_those_of_transformers():
    """Its context is set to that of the text; at first its history is empty."""
    scores = log_softmax(torch.randn(2, 24, generator=torch.Generator().manual_seed(0)), -1).double()
    oracle = theirs(MARK)
    oracle.state = SynthIDTextWatermarkState(2, MARK.width + 1, 1024, torch.device("cpu"))
    oracle.state.context = IDS[:, -3:-1]
    torch.testing.assert_close(processors(MARK)[0](IDS, scores), oracle(IDS, scores), atol=1e-9, rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(0, 10**6))
def test_probabilities_stay_probabilities(layers, secret):
    scores = log_softmax(2 * torch.randn(2, 24, generator=torch.Generator().manual_seed(secret)), -1)
    changed = processors(SynthID(layers), seed=secret)[0](IDS, scores)
    torch.testing.assert_close(changed.exp().sum(1), torch.ones(2), atol=1e-4, rtol=0)
    one = processors(SynthID(1), seed=secret)[0](IDS, scores)
    assert (one <= scores + np.log(2) + 1e-5).all(), "a round at most doubles a token"


def test_over_keys_each_token_keeps_its_probability():
    scores = log_softmax(torch.randn(1, 24, generator=torch.Generator().manual_seed(1)), -1)
    each = torch.stack([processors(SynthID(8, key=key))[0](IDS[1:], scores)[0].double().exp() for key in range(500)])
    error = each.std(0) / np.sqrt(len(each))
    assert (((each.mean(0) - scores[0].double().exp()) / error).abs() < 4).all()
    assert each.std(0).max() > 0.05, "and under one key it does not"


def test_what_is_certain_stays_certain():
    scores = torch.full((1, 24), -60.0).index_fill(1, torch.tensor([9]), 0.0)
    for key in range(20):
        changed = processors(SynthID(30, key=key))[0](IDS[1:], scores)
        assert torch.isfinite(changed).all()
        assert changed[0, 9] == pytest.approx(0, abs=1e-6)


def test_what_a_tool_says_is_context_and_a_batch_begun_anew_changes_nothing():
    """Scores are a function of the text: the same whether it was said in one go or goes on after a tool's result."""
    one, other = processors(MARK)[0], processors(MARK)[0]
    scores = torch.zeros(2, 24)
    one.begin(np.arange(2))
    for t in range(3, 7):
        last = one(IDS[:, :t], scores)
    other.begin(np.arange(2))
    assert torch.equal(last, other(IDS, scores))
    shifted = torch.cat([torch.zeros(2, 3, dtype=torch.int64), IDS], 1)
    assert torch.equal(other(shifted, scores)[0], last[0]), "padding is no context"


def test_a_context_is_marked_once():
    again = torch.tensor([[1, 5, 6, 9, 5, 6], [1, 5, 6, 9, 6, 5]])
    scores = torch.zeros(2, 24)
    changed = processors(MARK)[0](again, scores)
    assert torch.equal(changed[0], scores[0])
    assert not torch.equal(changed[1], scores[1])


def test_what_another_defense_forbids_stays_forbidden():
    scores = torch.zeros(2, 24).index_fill(1, torch.tensor([7]), -torch.inf)
    changed = processors(MARK)[0](IDS, scores)
    assert torch.isneginf(changed[:, 7]).all()
    assert torch.isfinite(changed[:, :7]).all()


def test_generation_does_not_depend_on_the_batch():
    assert_batch_says_nothing(MARK, temperature=TAU)
    assert processors(SynthID(0), second=None) == []


def test_evidence_is_the_weighted_mean_of_different_pairs_against_every_shift_of_the_coins():
    mark, answers = SynthID(5, width=1), Ragged.of([[3, 4, 3, 4, 3, 9], [8, 3, 4]])
    found = mark.evidence(Ragged.of([[3], [9, 8]]), answers, 5)
    pairs = [(3, 3), (3, 4), (4, 3), (3, 9), (8, 8), (8, 3)]
    g = torch.cat([g_of(mark, [c], [x]) for c, x in pairs]).double().numpy()
    weight = np.linspace(10, 1, 5)
    coins = theirs(mark)
    place = coins.compute_ngram_keys(torch.tensor([pairs]))[0, :, 0].numpy() % TABLE
    table = coins.sampling_table.numpy()
    sums = np.sum([np.roll(table, -p) for p in place], 0)
    expected = (g.sum(0) @ weight - weight.sum() * sums.mean()) / np.sqrt((weight**2).sum() * sums.var())
    assert found.looked_at == 6
    assert found.statistic == pytest.approx(expected)
    assert found.p == pytest.approx(norm.sf(expected))


def test_as_fair_coins_the_same_pairs_would_be_falsely_small():
    """What the test is not: g as independent fair coins, the textbook's null. Pairs that share a place, and all the more
    pairs that come again (claim C9), then look like evidence."""
    rng = np.random.default_rng(0)
    pairs = rng.integers(4, 24, (1500, 3))
    several = np.repeat(pairs[:100], 15, 0)
    fair, exact = [], []
    for key in range(150):
        mark = SynthID(30, key=key)
        for rows in (pairs, several):
            coins = theirs(mark)
            g = coins.sample_g_values(coins.compute_ngram_keys(torch.from_numpy(rows)[None]))
            fair.append(float(norm.sf((g.double().mean() - 0.5) * 2 * np.sqrt(g.numel()))))
            exact.append(mark.finding(rows[:, :-1], rows[:, -1], 5).p)
    fair, exact = np.reshape(fair, (150, 2)).T, np.reshape(exact, (150, 2)).T
    assert (fair[1] < 0.01).mean() > 0.1
    assert kstest(fair[1], "uniform").pvalue < 1e-6
    assert all(kstest(p, "uniform").pvalue > 0.01 for p in exact)


def test_transformers_mean_of_coins_is_ours():
    """The g of a text, repeats masked, that `SynthIDTextWatermarkDetector` weighs by a model that it needs trained."""
    text = np.random.default_rng(0).integers(3, 24, 60)
    oracle = theirs(MARK)
    once = oracle.compute_context_repetition_mask(torch.from_numpy(text)[None])[0].bool()
    g = oracle.compute_g_values(torch.from_numpy(text)[None])[0][once].double().mean()
    context = np.lib.stride_tricks.sliding_window_view(text, 2)[:-1]
    pairs = np.column_stack([context, text[2:]])[once.numpy()]
    ours = torch.cat([g_of(MARK, pair[:-1], [pair[-1]]) for pair in pairs]).double().mean()
    assert float(g) == pytest.approx(float(ours))


def test_transformers_detector_finds_our_text_and_we_find_its():
    """Both ways: g of 60 answers at the same keys, far above a half where the text was drawn so."""
    mark, prompts = SynthID(30, width=2), Ragged.of([[1, i % 20 + 4, i // 20 + 4] for i in range(60)])
    ours = TEACHER.generate(prompts, Sampling(max_tokens=24), np.arange(60), processors(mark, rows=60)).tokens

    class AsTheyAre:
        """Their processor, begun anew with each batch."""

        def begin(self, rows):
            self.inner = theirs(mark)

        def __call__(self, ids, scores):
            return self.inner(ids, scores)

    their = TEACHER.generate(prompts, Sampling(max_tokens=24), np.arange(60), [AsTheyAre()]).tokens
    plain = TEACHER.generate(prompts, Sampling(max_tokens=24), np.arange(60)).tokens

    def mean(tokens):
        oracle, kept = theirs(mark), []
        for row in tokens:
            if len(row) > 3:
                ids = torch.from_numpy(row.astype(np.int64))[None]
                kept.append(oracle.compute_g_values(ids)[oracle.compute_context_repetition_mask(ids).bool()])
        found = torch.cat(kept).double()
        return float(found.mean() - 0.5) * 2 * np.sqrt(found.numel())

    assert mean(ours) > 10
    assert abs(mean(plain)) < 4
    assert mark.evidence(prompts, their, 5).p < 1e-9
    assert mark.evidence(prompts, plain, 5).p > 1e-3


def test_a_watermarked_suspect_is_found_and_others_are_not():
    mark = SynthID(30, tokens=30)
    marked = Marked(TEACHER, mark, 5)
    found = mark.detect(detection(marked))
    assert found.p < 1e-12
    assert mark.detect(detection(marked, secret=6)).p > 1e-3
    assert dataclasses.replace(mark, key=1).detect(detection(marked)).p > 1e-3
    assert mark.detect(detection(TEACHER)).p > 1e-3
    assert mark.detect(detection(Marked(TEACHER, dataclasses.replace(mark, layers=1), 5))).p > found.p
    assert SynthID(0).detect(detection(marked)) is None


@pytest.mark.parametrize(("field", "value"), [("layers", -1), ("layers", 65), ("width", 0), ("tokens", 0)])
def test_refuses_impossible_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        SynthID(**{field: value})
