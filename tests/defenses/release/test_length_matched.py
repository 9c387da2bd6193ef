"""As long as the other defense's traces, and otherwise arranged at random."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from defenses.base import hooks_of, preparation_of
from defenses.decoding.kgw import KGW
from defenses.release.anchor_poisoning import AnchorPoisoning
from defenses.release.length_matched import LengthMatched
from defenses.release.paraphrase import Paraphrase
from defenses.release.rewriting_grammar import GENOMES, UNCHANGED, arranged, parsed
from defenses.release.skeleton_edited import SkeletonEdited
from defenses.release.trace_every import TraceEvery
from defenses.release.trace_reordered import TraceReordered
from tests.defenses.release.mini_responses import LM, same, world, worlds

INNER = [TraceEvery(2), TraceEvery(3), TraceReordered(), SkeletonEdited(0.6)]


@settings(max_examples=10, deadline=None)
@given(base=worlds, inner=st.sampled_from(INNER))
def test_each_row_is_an_arrangement_of_the_nearest_length(base, inner):
    old = base.responses
    goal = inner.release(old, base.context())
    new = LengthMatched(inner).release(old, base.context())
    parse = parsed(old.tokens, old.channel, LM.format)
    all_of_them = [arranged(parse, len(old), genome) for genome in GENOMES if genome != UNCHANGED]
    for row, (before, wanted, after) in enumerate(zip(old.tokens, goal.tokens, new.tokens, strict=True)):
        if np.array_equal(before, wanted):
            np.testing.assert_array_equal(before, after)
            continue
        made = [old.tokens.values[places[row]] for places in all_of_them]
        nearest = min(abs(len(one) - len(wanted)) for one in made)
        assert abs(len(after) - len(wanted)) == nearest
        assert any(np.array_equal(after, one) for one in made)


def test_lengths_follow_the_inner_defense_and_contents_the_generator():
    base, drawn = world(5), set()
    inner = TraceEvery(2)
    goal = inner.release(base.responses, base.context()).tokens.lengths
    for seed in range(6):
        new = LengthMatched(inner).release(base.responses, base.context(seed=seed))
        assert np.abs(new.tokens.lengths - goal).mean() < 0.5
        drawn.add(tuple(new.tokens.values))
    assert len(drawn) == 6
    assert same(*(LengthMatched(inner).release(base.responses, base.context(seed=2)) for _ in range(2)))


def test_every_arrangement_of_that_length_is_drawn():
    base, inner = world(5), TraceEvery(2)
    old = base.responses.take(np.array([0] * 300))
    goal = inner.release(old, base.context()).tokens.lengths[0]
    parse = parsed(old.tokens, old.channel, LM.format)
    made = [old.tokens.values[arranged(parse, len(old), genome)[0]] for genome in GENOMES if genome != UNCHANGED]
    nearest = min(abs(len(one) - goal) for one in made)
    possible = {tuple(one) for one in made if abs(len(one) - goal) == nearest}
    new = LengthMatched(inner).release(old, base.context())
    assert {tuple(row) for row in new.tokens} == possible
    assert len(possible) > 1


def test_what_the_inner_defense_leaves_is_left():
    base = world(6, k=2)
    for inner in (TraceEvery(1), Paraphrase(0.0), SkeletonEdited(0.0)):
        assert LengthMatched(inner).release(base.responses, base.context()) is base.responses


def test_it_says_of_itself_what_the_inner_defense_says():
    inner = AnchorPoisoning(0.2)
    outer = LengthMatched(inner)
    assert (outer.needs, outer.uses, outer.rewords) == (("trace",), ("proxy",), True)
    assert hooks_of(outer) == ("prepare", "release")
    assert preparation_of(outer) == preparation_of(inner)
    assert hooks_of(LengthMatched(TraceEvery(2))) == ("release",)
    with pytest.raises(ConfigError, match="must act at release alone; it acts at decode and detect"):
        LengthMatched(KGW(2.0))
