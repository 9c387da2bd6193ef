from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from transformers import WatermarkDetector, WatermarkingConfig

from configs.errors import ConfigError
from defenses.base import Detection, Serving
from defenses.decoding.kgw import KGW
from defenses.decoding.marks import NOTHING, contexts, distinct
from lm.mini.tokenizer import build_tokenizer
from lm.ragged import Ragged
from lm.types import Sampling
from tests.defenses.asking import asked
from tests.defenses.decoding.models import model

V = 24
PROMPTS = Ragged.of([[1, 5, 6], [1, 9], [1, 4, 4, 7, 8], [1, 12, 7]] * 15)
TEXTS = [" ".join(f"w{(7 * i + j) % 20}" for j in range(3)) for i in range(60)]


def drawn(watermark=None, seed=0, lm=None, tokens=40, secret=5):
    """Answers of a tiny random model."""
    lm = lm or model(seed=1)
    processor = None if watermark is None else watermark.decode(Serving(lm, seed=secret), asked(len(PROMPTS)))
    processors = [] if processor is None else [processor]
    seeds = np.arange(len(PROMPTS)) + 1000 * seed
    return lm.generate(PROMPTS, Sampling(max_tokens=tokens), seeds, processors).tokens


def by_hand(watermark, prompts, answers, secret):
    """(green, all) pairs, one after the other."""
    pairs, old = set(), set()
    for prompt, answer in zip(prompts, answers, strict=True):
        text = [NOTHING] * watermark.width + prompt.tolist() + answer.tolist()
        for i in range(watermark.width, len(text)):
            pair = (*text[i - watermark.width : i], text[i])
            (old if i < watermark.width + len(prompt) else pairs).add(pair)
    kept = pairs - old
    green = [watermark.green(np.array([p[:-1]]), np.array([p[-1]]), secret)[0, 0] for p in kept]
    return int(np.sum(green)), len(kept)


def test_scores_of_green_tokens_rise_by_delta():
    watermark, scores = KGW(1.5, width=2), torch.randn(2, V, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([[0, 0, 1, 5, 9, 7], [1, 4, 4, 8, 20, 6]])
    changed = watermark.decode(Serving(model(), seed=3), asked(2))(ids, scores)
    green = watermark.green(ids.numpy()[:, -2:], np.arange(V), 3)
    torch.testing.assert_close(changed, scores + 1.5 * torch.from_numpy(green))
    assert 0 < green.mean() < 1


def test_padding_is_no_context():
    watermark, scores = KGW(1.0, width=3), torch.zeros(1, V)
    processor = watermark.decode(Serving(model()), asked(1))
    seen = [processor(torch.tensor([[0] * pad + [1, 5]]), scores) for pad in (0, 1, 4)]
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])
    green = watermark.green(np.array([[NOTHING, 1, 5]]), np.arange(V), 0)
    assert torch.equal(seen[0] > 0, torch.from_numpy(green))
    assert not torch.equal(seen[0], processor(torch.tensor([[0, 1, 0, 5]]), scores)), "a pad token within a text is one"


def test_no_strength_changes_nothing():
    assert KGW(0.0).decode(Serving(model()), asked(1)) is None
    assert drawn(KGW(0.0)).values.tolist() == drawn().values.tolist()


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.8])
def test_lists_have_their_share_and_are_independent(gamma):
    watermark = KGW(1.0, gamma, width=2)
    context = np.random.default_rng(0).integers(0, 1000, (400, 2))
    green = watermark.green(context, np.arange(500), 7)
    assert abs(green.mean() - gamma) < 0.005
    spread = np.sqrt(gamma * (1 - gamma) / np.array([500, 400]))
    np.testing.assert_allclose([green.mean(1).std(), green.mean(0).std()], spread, rtol=0.15)
    others = [
        watermark.green(context[:, ::-1], np.arange(500), 7),
        watermark.green(context, np.arange(500), 8),
        dataclasses.replace(watermark, key=1).green(context, np.arange(500), 7),
    ]
    for other in others:
        assert abs((green & other).mean() - gamma**2) < 0.01


@pytest.mark.parametrize("width", [1, 2, 4])
def test_evidence_is_the_binomial_test_of_different_pairs(width):
    watermark, answers = KGW(2.0, 0.4, width), drawn(tokens=9)
    found = watermark.evidence(PROMPTS, answers, 5)
    green, n = by_hand(watermark, PROMPTS, answers, 5)
    assert found.looked_at == n
    assert found.p == pytest.approx(binomtest(green, n, 0.4, "greater").pvalue)
    assert found.statistic == pytest.approx((green - 0.4 * n) / np.sqrt(0.24 * n))


def test_contexts_and_different_pairs():
    texts = Ragged.of([[3, 4, 5], [6, 7]])
    assert contexts(texts, 2).tolist() == [[-1, -1], [-1, 3], [3, 4], [-1, -1], [-1, 6]]
    pairs = np.array([[1, 2], [3, 4], [1, 2], [5, 6]])
    assert distinct(pairs, but=np.array([[3, 4], [9, 9]])).tolist() == [[1, 2], [5, 6]]
    assert KGW(1.0).evidence(Ragged.of([[1]]), Ragged.of([[]]), 0) is None


def detection(suspect, teacher=None, secret=5):
    return Detection(
        suspect, TEXTS, Serving(teacher or model(seed=1), seed=secret), suspect.format, np.random.default_rng(0)
    )


class Watermarked:
    """Says what the teacher says under a watermark: a student that learnt all of it."""

    def __init__(self, lm, watermark, secret):
        self.lm, self.processor = lm, watermark.decode(Serving(lm, seed=secret), asked(len(TEXTS)))

    def __getattr__(self, name):
        return getattr(self.lm, name)

    def generate(self, prompts, sampling, seeds):
        return self.lm.generate(prompts, sampling, seeds, [self.processor])


def test_a_watermarked_suspect_is_found_and_others_are_not():
    watermark = KGW(2.0, tokens=30)
    marked = Watermarked(model(seed=1), watermark, 5)
    found = watermark.detect(detection(marked))
    assert found.p < 1e-12
    assert found.statistic > 7
    assert watermark.detect(detection(marked, secret=6)).p > 1e-3
    assert dataclasses.replace(watermark, key=1).detect(detection(marked)).p > 1e-3
    assert watermark.detect(detection(model(seed=1))).p > 1e-3
    weaker = watermark.detect(detection(Watermarked(model(seed=1), KGW(0.5), 5)))
    assert found.p < weaker.p


def test_nothing_is_said_of_other_tokens():
    other = dataclasses.replace(model(), tokenizer=build_tokenizer(tuple(f"v{i}" for i in range(20))))
    assert KGW(2.0).detect(detection(other)) is None


def test_answers_fit_the_suspect():
    assert KGW(2.0, tokens=500).detect(detection(model("gpt2"), model("gpt2"))).looked_at > 0


def test_generation_does_not_depend_on_the_batch():
    lm, watermark = model(seed=1), KGW(2.0, width=4)

    def texts(order):
        drawn = lm.generate(
            PROMPTS.take(order), Sampling(max_tokens=8), order, [watermark.decode(Serving(lm), asked(len(order)))]
        )
        return {int(r): drawn.tokens[i].tolist() for i, r in enumerate(order)}

    assert texts(np.array([2])) | texts(np.array([3, 0, 1])) == texts(np.arange(4))


@pytest.mark.parametrize(("field", "value"), [("delta", -1), ("gamma", 0), ("gamma", 1.0), ("width", 0), ("tokens", 0)])
def test_refuses_impossible_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        KGW(**{"delta": 1.0, field: value})


@pytest.mark.parametrize(("length", "repeats"), [(60, 0), (200, 3)])
def test_transformers_detector_with_our_lists_finds_the_same(length, repeats):
    """Ours is another hash on purpose (see the class), so `WatermarkDetector` is given our green lists in the place of its
    own, and has to find the same statistic. One text at a time: it counts repeats within a text alone."""
    watermark, text = KGW(2.0, 0.4, width=2), np.random.default_rng(0).integers(4, 24, length)
    settings = WatermarkingConfig(greenlist_ratio=0.4, bias=2.0, seeding_scheme="lefthash", context_width=2)

    class OurLists:
        seeding_scheme, context_width = "lefthash", 2

        def _get_greenlist_ids(self, prefix):
            return np.flatnonzero(watermark.green(prefix.numpy()[None], np.arange(V), 5)[0])

    detector = WatermarkDetector(model(seed=1).model.config, "cpu", settings, ignore_repeated_ngrams=True)
    detector.processor = OurLists()
    theirs = detector(torch.from_numpy(text)[None], return_dict=True)
    ours = watermark.evidence(Ragged.of([text[:2]]), Ragged.of([text[2:]]), 5)
    assert ours.looked_at == length - 2 - repeats
    if repeats and theirs.num_tokens_scored[0] == length - 2:
        pytest.skip("the oldest transformers tells no repeats: it counts tensors, of which none equals another")
    assert theirs.num_tokens_scored[0] == ours.looked_at
    assert theirs.z_score[0] == pytest.approx(ours.statistic)
    assert theirs.p_value[0] == pytest.approx(ours.p, rel=0.2), "of a normal number, ours of the binomial"


def test_transformers_detector_finds_what_transformers_marked_as_ours_finds_ours():
    """The two marks at the same strength are about as loud."""
    lm, watermark = model(seed=1), KGW(2.0, 0.5, width=1)
    settings = WatermarkingConfig(greenlist_ratio=0.5, bias=2.0, seeding_scheme="lefthash", context_width=1)
    theirs = settings.construct_processor(V, "cpu")
    detector = WatermarkDetector(lm.model.config, "cpu", settings, ignore_repeated_ngrams=False)
    seeds, sampling = np.arange(len(PROMPTS)), Sampling(max_tokens=40)
    marked = lm.generate(PROMPTS, sampling, seeds, [theirs]).tokens
    found = [detector(torch.from_numpy(row)[None].long(), return_dict=True) for row in marked if len(row) > 2]
    counted, green = np.sum([(one.num_tokens_scored[0], one.num_green_tokens[0]) for one in found], axis=0)
    share = green / counted
    texts = Ragged.of([np.concatenate(pair) for pair in zip(PROMPTS, drawn(watermark), strict=True)])
    said = texts.position >= PROMPTS.lengths[texts.row_of_value]
    ours = watermark.green(contexts(texts, 1)[said], texts.values[said][:, None], 5).mean()
    assert share == pytest.approx(ours, abs=0.06)
    assert share > 0.7
