"""Tokens about which a distribution is told, and what every defense on sold probabilities leaves alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings

from configs.errors import ConfigError
from defenses.release.grad_redirection import GradRedirection
from defenses.release.mad import MAD
from defenses.release.modelguard_w import ModelGuardW
from defenses.release.reverse_sigmoid import ReverseSigmoid
from defenses.release.told import BLOCK, in_blocks, told_of, towards, vertex, with_told
from lm.types import Channel
from teacher.api.hooks import require_sold
from teacher.api.interface import Interface
from tests.defenses.release.probs import EPSILONS, check, distributions
from tests.defenses.release.responses import VOCAB, make

ALL = (
    ReverseSigmoid(0.1),
    MAD(0.5),
    MAD(0.5, keep_argmax=True),
    MAD(0.5, choice="random"),
    GradRedirection(0.5, "reverse"),
    ModelGuardW(0.5),
)


def table(responses, part):
    """(N, VOCAB) probabilities by token id."""
    out = np.zeros((len(responses.top_ids), VOCAB))
    rows, columns = np.nonzero(responses.top_ids >= 0)
    out[rows, responses.top_ids[rows, columns]] = np.exp(responses.top_logprobs[rows, columns].astype(float))
    return out[part]


@pytest.mark.parametrize("defense", ALL, ids=repr)
def test_the_whole_distribution_stays_one_and_tool_results_are_the_callers(defense):
    responses, context = make(k=VOCAB)
    released, tool = defense.release(responses, context()), responses.channel == Channel.TOOL
    assert not np.array_equal(released.top_logprobs, responses.top_logprobs)
    np.testing.assert_array_equal(released.logprob[tool], responses.logprob[tool])
    np.testing.assert_array_equal(released.top_ids[tool], responses.top_ids[tool])
    before, after = (table(r, ~tool) for r in (responses, released))
    np.testing.assert_allclose(after.sum(1), 1, atol=1e-5)
    away = np.abs(after - before).sum(1)
    if isinstance(defense, ReverseSigmoid):
        assert (away > 0.1).any()
    else:
        np.testing.assert_allclose(away, 0.5, atol=1e-5)  # the bound is met wherever there is room for it


@pytest.mark.parametrize("defense", ALL, ids=repr)
def test_without_the_whole_vocabulary_the_rest_keeps_its_mass(defense):
    responses, context = make(k=5)
    released = defense.release(dataclasses.replace(responses, logprob=None), context())
    part = responses.channel != Channel.TOOL
    np.testing.assert_allclose(table(released, part).sum(1), table(responses, part).sum(1), atol=1e-5)


@pytest.mark.parametrize("defense", ALL, ids=repr)
def test_is_refused_where_no_probabilities_are_sold(defense):
    with pytest.raises(ConfigError, match="acts on top_logprobs, which the interface 'plain' does not sell"):
        require_sold({"it": defense}, Interface("plain"))


def test_what_is_not_told_apart_is_left_out():
    responses, _ = make(k=1)
    bare = dataclasses.replace(responses, logprob=None)
    assert len(told_of(bare).place) == 0
    assert with_told(bare, told_of(bare), told_of(bare).probs) is bare


@settings(max_examples=40)
@given(distributions(), EPSILONS)
def test_towards_meets_the_bound_or_arrives(probs, epsilon):
    target = vertex(probs, probs.argmin(1))
    changed = towards(probs, target, epsilon)
    check(probs, changed, epsilon)
    length = np.abs(target - probs).sum(1)
    np.testing.assert_allclose(np.abs(changed - probs).sum(1), np.minimum(epsilon, length), atol=1e-12)


def test_blocks_make_no_difference():
    values = np.arange(3.0 * (2 * BLOCK + 5)).reshape(-1, 3)
    np.testing.assert_array_equal(in_blocks(lambda a, b: a + b[:, None], values, values[:, 0]), values + values[:, :1])
