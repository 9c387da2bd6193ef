"""Another defense for suspects alone: marked responses are as that defense leaves them, others untouched."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from configs.build import build, describe
from configs.errors import ConfigError
from configs.identity import identity
from defenses.admission.limits.query_quota import QueryQuota
from defenses.base import Defense, Serving, hooks_of, preparation_of
from defenses.decoding.antidistillation import Antidistillation
from defenses.decoding.gumbel import Gumbel
from defenses.decoding.kgw import KGW
from defenses.decoding.lads import LADS
from defenses.decoding.product_of_experts import ProductOfExperts
from defenses.decoding.temperature import Temperature
from defenses.release.hard_label import HardLabel
from defenses.release.suspects import Suspects
from defenses.release.top_k import TopK
from defenses.release.trace_hidden import TraceHidden
from defenses.serving.doge import Doge
from lm.passes import DECODE, by_others, counting
from teacher.api.hooks import require_sold
from teacher.api.interface import Interface
from tests.defenses.asking import asked
from tests.defenses.release.responses import assert_aligned, make
from tests.lm.mini.tiny import tiny

MARKED = np.arange(20) % 3 == 0


def rows_equal(one, other):
    for f in dataclasses.fields(one):
        a, b = getattr(one, f.name), getattr(other, f.name)
        if f.name == "tokens":
            a, b = np.concatenate([a.values, a.offsets]), np.concatenate([b.values, b.offsets])
        np.testing.assert_array_equal(a, b, err_msg=f.name)


@pytest.mark.parametrize("inner", [TraceHidden(), TraceHidden(0.5)])
def test_suspects_get_what_the_inner_defense_gives_and_others_everything(inner):
    responses, context = make(k=3)
    marked = MARKED[responses.request]
    released = Suspects(inner).release(responses, context(5, marked=MARKED))
    assert_aligned(released)
    rows_equal(released.where(~marked), responses.where(~marked))
    rows_equal(released.where(marked), inner.release(responses, context(5)).where(marked))
    assert released.cut[marked].any()


def test_fewer_logprobs_for_suspects_are_filled_up_as_missing():
    responses, context = make(k=3)
    released = Suspects(TopK(1)).release(responses, context(marked=MARKED))
    assert_aligned(released)
    of_token = MARKED[responses.request][released.tokens.row_of_value]
    assert (released.top_ids[of_token, 1:] == -1).all()
    np.testing.assert_array_equal(released.top_logprobs[~of_token], responses.top_logprobs[~of_token])
    assert_aligned(Suspects(HardLabel()).release(responses, context(marked=MARKED)))


def test_nobody_and_everybody():
    responses, context = make()
    assert Suspects().release(responses, context()) is responses
    rows_equal(
        Suspects().release(responses, context(marked=np.ones(20, bool))),
        TraceHidden().release(responses, context()),
    )


@pytest.mark.parametrize("inner", [QueryQuota(5), Doge(0.1), LADS()])
def test_what_cannot_be_had_for_some_requests_is_refused(inner):
    with pytest.raises(ConfigError, match=r"suspects\.inner.*not at admit or serve or seeds"):
        Suspects(inner)


@pytest.mark.parametrize("inner", [Temperature(1.5), KGW(2.0)])
def test_suspects_are_sampled_otherwise_and_others_as_without_it(inner):
    rng = np.random.default_rng(0)
    ids = torch.from_numpy(rng.integers(3, 30, (5, 4)))
    scores = torch.log_softmax(torch.from_numpy(rng.normal(size=(5, 30))), -1)
    serving = Serving(tiny(3), seed=7)
    marked = np.array([True, False, False, True, False, False, False])
    facts = dataclasses.replace(asked(7), marked=marked)
    processor = Suspects(inner).decode(serving, facts)
    processor.begin(np.array([3, 1, 0, 5, 6]))
    changed, whole = processor(ids, scores), inner.decode(serving, facts)(ids, scores)
    assert torch.equal(changed[[1, 3, 4]], scores[[1, 3, 4]])
    assert torch.equal(changed[[0, 2]], whole[[0, 2]])
    assert not torch.equal(whole[1], scores[1])
    assert Suspects(inner).decode(serving, asked(7)) is None, "nobody is marked"


def test_another_model_reads_the_texts_of_suspects_alone_while_they_grow():
    scores = torch.log_softmax(torch.randn(5, 30, generator=torch.Generator().manual_seed(0)), -1)
    ids = torch.from_numpy(np.random.default_rng(0).integers(3, 30, (5, 4)))
    serving, facts = Serving(tiny(3), lambda name: tiny(4)), dataclasses.replace(asked(7), marked=np.arange(7) % 3 == 0)
    processor = Suspects(ProductOfExperts(0.6)).decode(serving, facts)
    processor.begin(np.array([3, 1, 0, 5, 6]))
    for lines, read in (([0, 1, 2, 3, 4], [0, 2, 4]), ([0, 1, 3, 4], [0, 4]), ([1, 3], [])):
        processor.step(np.array(lines))
        with counting() as passes, by_others(DECODE):
            changed = processor(ids, scores)
        assert passes.extra == len(read)
        assert (changed != scores).any(1).nonzero().flatten().tolist() == read
        ids = torch.cat([ids, ids[:, :1]], 1)


def test_what_is_prepared_and_detected_is_the_inner_defenses():
    inner = Antidistillation(0.2)
    assert preparation_of(Suspects(inner)) == preparation_of(inner)
    assert hooks_of(Suspects(inner)) == hooks_of(inner)
    assert hooks_of(Suspects(KGW(2.0))) == ("decode", "detect")
    assert Suspects(inner).sees == ("marked",)


def test_the_inner_defense_is_nested_in_the_yaml_and_in_the_key():
    target = "defenses.release"
    node = {
        "_target_": f"{target}.suspects.Suspects",
        "inner": {"_target_": f"{target}.trace_hidden.TraceHidden", "fraction": 0.25},
    }
    built = build(node, Defense, "defense.suspects")
    assert built == Suspects(TraceHidden(0.25))
    assert build(describe(built), Defense, "defense.suspects") == built
    assert identity(built)["fields"]["inner"] == identity(TraceHidden(0.25))
    with pytest.raises(ConfigError, match=r"defense\.suspects\.inner"):
        build(
            {**node, "inner": {"_target_": "defenses.admission.limits.query_quota.QueryQuota", "queries": 2}},
            Defense,
            "defense.suspects",
        )


def test_it_needs_what_the_inner_defense_needs():
    with pytest.raises(ConfigError, match="trace"):
        require_sold({"suspects": Suspects()}, Interface(trace="none"))
    require_sold({"suspects": Suspects()}, Interface(trace="full"))
    assert Suspects(TopK(1)).needs == TopK.needs


def test_suspects_alone_get_keyed_draws():
    rng = np.random.default_rng(0)
    ids, scores = torch.from_numpy(rng.integers(3, 30, (7, 4))), torch.zeros(7, 30)
    serving, drawn = Serving(tiny(3), seed=7), torch.full((7,), 30)
    marked = np.array([True, False, False, True, False, False, True])
    assert Suspects(Gumbel()).chooses_tokens
    processor = Suspects(Gumbel()).decode(serving, dataclasses.replace(asked(7), marked=marked))
    processor.begin(np.arange(7)[::-1])
    said = processor.draw(ids, scores, drawn)
    whole = Gumbel().decode(serving, asked(7)).draw(ids, scores, drawn)
    here = marked[::-1].copy()
    assert torch.equal(said[here], whole[here])
    assert (said[~here] == 30).all()
    assert torch.equal(processor(ids, scores), scores)
    plain = Suspects(KGW(2.0)).decode(serving, dataclasses.replace(asked(7), marked=marked))
    assert not hasattr(plain, "draw")
