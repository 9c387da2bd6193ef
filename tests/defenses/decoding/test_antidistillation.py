from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn.functional import log_softmax

from configs.errors import ConfigError
from defenses.base import Preparation, Serving
from defenses.decoding.antidistillation import Antidistillation
from defenses.decoding.permuted import Permuted
from defenses.decoding.temperature import Temperature
from lm.mini.tokenizer import build_tokenizer
from lm.ragged import Ragged
from lm.types import Sampling
from tests.defenses.asking import asked
from tests.defenses.decoding.models import model, traces

IDS = torch.tensor([[0, 0, 1, 5, 9, 7], [1, 4, 4, 8, 20, 6]])


def served(defense, teacher=None, proxy=None):
    teacher, proxy = teacher or model(seed=1), proxy or model()
    prepared = defense.prepare(Preparation(teacher, lambda: proxy, traces, np.random.default_rng(0)))
    return defense.decode(Serving(teacher, lambda name: proxy, prepared), asked(4)), prepared


def scores(width=24):
    return log_softmax(torch.randn(2, width, generator=torch.Generator().manual_seed(3)), -1)


def test_prepared_is_a_unit_gradient_and_a_scale():
    _, prepared = served(Antidistillation(0.3, traces=16))
    gradients = [g for name, g in prepared.items() if name.startswith("grad.")]
    assert sum(float(g.square().sum()) for g in gradients) == pytest.approx(1, rel=1e-4)
    assert len(gradients) == len(prepared) - 1
    assert prepared["scale"] > 0


def test_scores_move_by_lambda_standard_deviations():
    once, _ = served(Antidistillation(0.3, traces=16))
    twice, _ = served(Antidistillation(0.6, traces=16))
    none, _ = served(Antidistillation(0.0, traces=16))
    base = scores()
    assert none is None
    torch.testing.assert_close(twice(IDS, base) - base, 2 * (once(IDS, base) - base), atol=1e-5, rtol=1e-4)
    assert (once(IDS, base) - base).std() > 0.01


def test_permuted_has_the_same_sizes_on_other_tokens():
    informed, _ = served(Antidistillation(0.5, traces=16))
    control, _ = served(Permuted(0.5, traces=16))
    base = torch.zeros(2, 24)
    ads, mixed = informed(IDS, base), control(IDS, base)
    torch.testing.assert_close(ads.abs().sort(1).values, mixed.abs().sort(1).values)
    assert not torch.allclose(ads, mixed)
    assert not torch.equal(ads.abs().argsort(1), mixed.abs().argsort(1))


def test_permutation_follows_the_prefix_and_the_key():
    base = torch.zeros(2, 24)
    first, _ = served(Permuted(0.5, traces=16))
    again, _ = served(Permuted(0.5, traces=16))
    other, _ = served(Permuted(0.5, traces=16, key=1))
    torch.testing.assert_close(first(IDS, base), again(IDS, base))
    torch.testing.assert_close(first(IDS, base)[:1], again(IDS[:1, 2:], base[:1]), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(first(IDS, base), other(IDS, base))
    tokens = torch.arange(24).expand(2, 24).float()
    orders = [first.arranged(ids, tokens).abs() for ids in (IDS, IDS[:, :-1])]
    assert not torch.equal(orders[0][0], orders[0][1])
    assert not torch.equal(orders[0], orders[1])


def test_signs_and_places_are_fair():
    control, _ = served(Permuted(0.5, traces=4))
    ids = torch.from_numpy(np.random.default_rng(0).integers(4, 24, (4000, 5)))
    arranged = control.arranged(ids, torch.ones(4000, 24) * torch.arange(1, 25))
    assert abs(float(arranged.sign().mean())) < 0.02
    assert abs(float((arranged.abs()[:, 3] - 12.5).mean())) < 0.5


@pytest.mark.parametrize("kind", [Antidistillation, Permuted])
def test_generation_does_not_depend_on_the_batch(kind):
    teacher, proxy, defense = model(seed=1), model(), kind(0.5, traces=16)
    prompts = Ragged.of([[1, 5, 6], [1, 9], [1, 4, 4, 7, 8], [1, 12, 7]])
    prepared = defense.prepare(Preparation(teacher, lambda: proxy, traces, np.random.default_rng(0)))

    def texts(order):
        processor = defense.decode(Serving(teacher, lambda name: proxy, prepared), asked(4))
        drawn = teacher.generate(prompts.take(order), Sampling(max_tokens=8), order, [processor])
        return {int(r): drawn.tokens[i].tolist() for i, r in enumerate(order)}

    together = texts(np.arange(4))
    assert texts(np.array([2])) | texts(np.array([3, 0, 1])) == together


def test_logits_wider_than_the_proxy_are_left_alone():
    processor, _ = served(Antidistillation(0.5, traces=8), teacher=model(seed=1, vocab=28))
    base = scores(28)
    changed = processor(IDS, base)
    torch.testing.assert_close(changed[:, 24:], base[:, 24:])
    narrow, _ = served(Antidistillation(0.5, traces=8), proxy=model(vocab=28))
    assert narrow(IDS, scores()).shape == (2, 24)


def test_refuses_a_proxy_with_another_tokenizer():
    other = dataclasses.replace(model(), tokenizer=build_tokenizer(tuple(f"v{i}" for i in range(20))))
    with pytest.raises(ConfigError, match="tokenizer"):
        served(Antidistillation(0.5), proxy=other)
    with pytest.raises(ConfigError, match="tokenizer"):
        Antidistillation(0.5).decode(Serving(model(), lambda name: other, {}), asked(4))


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Antidistillation(-1), "lam"),
        (lambda: Antidistillation(1, epsilon=0), "epsilon"),
        (lambda: Permuted(1, traces=0), "traces"),
        (lambda: Temperature(0), "tau"),
    ],
)
def test_refuses_impossible_settings(make, field):
    with pytest.raises(ConfigError, match=field):
        make()


def test_temperature_flattens():
    base = scores()
    torch.testing.assert_close(Temperature(2.0).decode(Serving(model()), asked(4))(IDS, base), base / 2)
