"""What every defense in ``configs/defense`` that acts while the teacher samples, or looks into a student, promises."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from defenses.base import Detection, OwnItems, Preparation, Serving, hooks_of
from teacher.api.schema import Prompts
from tests.defenses.asking import asked
from tests.defenses.decoding.models import model, traces
from tests.defenses.test_contract import DEFENSES, defense_of

SMALL = {"traces": 16, "steps": 2, "batch": 4, "tokens": 6}
"""Fields that say how much is done, where a defense has them."""
TEACHER, OTHER = model(seed=1), model(seed=2)
IDS = torch.tensor([[0, 0, 1, 5, 9, 7], [1, 4, 4, 8, 20, 6], [0, 1, 3, 3, 9, 2]])


def small(name):
    defense = defense_of(name)
    own = {field.name for field in dataclasses.fields(defense)}
    return dataclasses.replace(defense, **{field: value for field, value in SMALL.items() if field in own})


def acting(hook):
    return [name for name in DEFENSES if hook in hooks_of(defense_of(name))]


def serving(defense, seed=3):
    prepared = {}
    if "prepare" in hooks_of(defense):
        rng = np.random.default_rng(0)
        context = Preparation(TEACHER, lambda: OTHER, traces, rng, items=own_items, model=lambda used: OTHER)
        prepared = defense.prepare(context)
    return Serving(TEACHER, lambda used: OTHER, prepared, seed)


def own_items(n):
    """Tasks whose right answers have an even number of letters."""
    return OwnItems(Prompts((), traces(n).prompts), np.array(["w"] * n, object), lambda item, text: len(text) % 2 == 0)


def weights(lm):
    return {name: value.clone() for name, value in lm.model.state_dict().items()}


def kept(before, lm):
    return all(torch.equal(before[name], value) for name, value in lm.model.state_dict().items())


def scored(processor, rows, scores):
    if hasattr(processor, "begin"):
        processor.begin(np.asarray(rows))
    return processor(IDS[rows], scores[rows])


@pytest.mark.parametrize("name", acting("decode"))
def test_decoding_gives_scores_of_its_own_row_and_leaves_all_else(name):
    defense, before = small(name), (weights(TEACHER), weights(OTHER))
    use, facts = serving(defense), asked(3, length=[4, 6, 5])
    scores = torch.log_softmax(torch.randn(3, 24, generator=torch.Generator().manual_seed(0)), -1)
    given = scores.clone()
    whole = scored(defense.decode(use, facts), [0, 1, 2], scores)
    assert whole.shape == scores.shape
    assert torch.isfinite(whole).all()
    assert torch.equal(scores, given), "not in place"
    assert not torch.equal(whole, scores), "it does something"
    again = scored(defense.decode(use, facts), [0, 1, 2], scores)
    assert torch.equal(whole, again)
    some = scored(defense.decode(use, facts), [2, 0], scores)
    torch.testing.assert_close(some, whole[[2, 0]], atol=1e-5, rtol=1e-4)
    assert all(kept(one, lm) for one, lm in zip(before, (TEACHER, OTHER), strict=True))


@pytest.mark.parametrize("name", acting("serve"))
def test_serving_gives_a_copy_with_the_same_tokens(name):
    defense, before = small(name), weights(TEACHER)
    served = defense.serve(serving(defense))
    assert served is not TEACHER
    assert served.vocab == TEACHER.vocab
    assert kept(before, TEACHER)
    assert not kept(before, served)


@pytest.mark.parametrize("name", acting("seeds"))
def test_seeds_are_one_a_response_and_secret(name):
    defense, facts = small(name), asked(5)
    found = defense.seeds(serving(defense), facts)
    assert found.shape == (5,)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, defense.seeds(serving(defense), facts))
    assert (found != defense.seeds(serving(defense, seed=4), facts)).all()


@pytest.mark.parametrize("name", acting("detect"))
def test_evidence_is_a_probability_and_the_suspect_stays(name):
    defense, before = small(name), weights(OTHER)

    def look():
        context = (OTHER, ["w1 w2", "w3"], serving(defense), TEACHER.format, np.random.default_rng(1))
        return defense.detect(Detection(*context))

    found = look()
    assert found is not None
    assert 0 <= found.p <= 1
    assert np.isfinite(found.statistic)
    assert found.looked_at > 0
    assert look() == found
    assert kept(before, OTHER)
