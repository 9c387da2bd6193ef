"""Which token becomes wrong, against a search row by row, and the bound on how it looks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from defenses.base import Preparation, Serving, preparation_of
from defenses.release.anchor_poisoning import AnchorPoisoning
from defenses.release.random_errors import RandomErrors
from defenses.release.trace_every import TraceEvery
from defenses.release.trace_hidden import TraceHidden
from lm.from_words import word_examples
from lm.ragged import Ragged
from lm.types import Channel
from tests.defenses.decoding.models import model
from tests.defenses.release.mini_responses import LM, assert_answers_kept, besides, items, same, world, worlds
from tests.defenses.release.responses import assert_aligned
from tests.lm.mini.tiny import tiny

PROXY = tiny(7)
DEFENSE = AnchorPoisoning(1.0, quantile=0.3, traces=20)


def serving(least=-3.0):
    return Serving(LM, lambda name: {"proxy": PROXY}[name], {"least": torch.tensor(least)}, seed=5)


def traces(n):
    found = items()[:n]
    return word_examples(LM, [i.prompt for i in found], [i.reference for i in found])


def preparation():
    return Preparation(LM, lambda: PROXY, traces, np.random.default_rng(0))


def changed(new, old):
    return np.flatnonzero(new.tokens.values != old.tokens.values)


def one_row(lm, prompt, row):
    """(T,) log-probability of each token of one row."""
    return lm.score(Ragged.of([prompt]), Ragged.of([row])).logprob.astype(float)


@pytest.mark.parametrize(
    ("rate", "least", "judge", "hinge"),
    [(1.0, -7.0, "proxy", "answer"), (0.5, -99.0, "teacher", "answer"), (1.0, -7.0, "teacher", "rest")],
)
def test_the_step_on_which_most_hinges_of_those_allowed(rate, least, judge, hinge):
    base = world(1)
    old, context, twin = base.responses, base.context(serving(least)), base.context()
    new = replace(DEFENSE, rate=rate, judge=judge, hinge=hinge).release(old, context)
    chosen = twin.rng.random(len(old)) < rate
    stated = LM.format.summary(old.tokens, old.channel) & chosen[old.tokens.row_of_value]
    expected, best = {}, {}
    for place in np.flatnonzero(stated):
        row = int(old.tokens.row_of_value[place])
        wrong = LM.format.corrupted(int(old.tokens.values[place]), twin.rng)
        at, tokens, prompt = int(old.tokens.position[place]), old.tokens[row], twin.prompts.tokens[row]
        variant = tokens.copy()
        variant[at] = wrong
        if one_row(PROXY if judge == "proxy" else LM, prompt, variant)[at] < least:
            continue
        channel = LM.format.channels(Ragged.of([tokens]))
        counts = (
            channel == Channel.ANSWER
            if hinge == "answer"
            else (np.arange(len(tokens)) > at) & (channel != Channel.TOOL)
        )
        drop = (one_row(LM, prompt, tokens) - one_row(LM, prompt, variant))[counts].sum()
        if drop > best.get(row, 0):
            best[row], expected[row] = drop, (int(place), wrong)
    assert len(expected) > 3
    assert dict(sorted(expected.values())) == {int(at): int(new.tokens.values[at]) for at in changed(new, old)}
    assert context.serving.memory == {"chosen": chosen.sum(), "poisoned": len(expected)}


@settings(max_examples=8, deadline=None)
@given(base=worlds, rate=st.sampled_from([0.0, 0.4, 1.0]), least=st.sampled_from([-5.0, -7.0, -99.0]))
def test_answers_stay_and_one_sub_result_at_most_is_wrong(base, rate, least):
    old, defense = base.responses, replace(DEFENSE, rate=rate)
    new = defense.release(old, base.context(serving(least)))
    assert_aligned(new)
    assert_answers_kept(new, old)
    assert same(new, defense.release(old, base.context(serving(least))))
    at = changed(new, old)
    rows = old.tokens.row_of_value[at]
    assert len(set(rows)) == len(rows)
    assert LM.format.summary(old.tokens, old.channel)[at].all()
    assert not new.cut.any()
    if rate == 0:
        assert new is old
    prompts = base.context().prompts.tokens
    seen = PROXY.score(prompts, new.tokens).logprob[at]
    assert (seen >= least - 1e-4).all()
    if old.logprob is not None:
        np.testing.assert_array_equal(new.logprob, old.logprob)
        listed = (old.top_ids[at] == old.tokens.values[at, None]).any(1)
        np.testing.assert_array_equal((new.top_ids[at] == new.tokens.values[at, None]).any(1), listed)


def test_a_tighter_bound_poisons_fewer_and_an_impossible_one_none():
    base = world(2)
    counts = []
    for least in (-99.0, -8.0, -6.0, 0.0):
        counts.append(len(changed(DEFENSE.release(base.responses, base.context(serving(least))), base.responses)))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[2] > counts[3] == 0


@pytest.mark.parametrize(("judge", "quantile"), [("proxy", 0.0), ("proxy", 0.3), ("teacher", 0.3)])
def test_the_bound_is_the_quantile_of_clean_sub_results(judge, quantile):
    found = replace(DEFENSE, judge=judge, quantile=quantile).prepare(preparation())["least"].item()
    rows, seen = traces(20), []
    for prompt, tokens in zip(rows.prompts, rows.completions, strict=True):
        line = Ragged.of([tokens])
        stated = LM.format.summary(line, LM.format.channels(line))
        seen += one_row(LM if judge == "teacher" else PROXY, prompt, tokens)[stated].tolist()
    assert found == pytest.approx(np.quantile(seen, quantile), abs=1e-4)
    assert quantile or found == pytest.approx(min(seen), abs=1e-4)


def test_what_a_client_put_before_the_answer_counts():
    base = world(1)
    context = base.context(serving(-99.0))
    wanted = base.context(serving(-99.0))
    prefill = "ok gives"
    first = Ragged.of([np.concatenate([p, *LM.encode([prefill])]) for p in wanted.prompts.tokens])
    spelt = replace(wanted, prompts=replace(wanted.prompts, tokens=first))
    one = DEFENSE.release(base.responses, replace(context, params=replace(context.params, prefill=prefill)))
    assert same(one, DEFENSE.release(base.responses, spelt))
    assert not same(one, DEFENSE.release(base.responses, base.context(serving(-99.0))))


def test_the_control_draws_the_same_share_of_responses():
    base = world(3)
    poisoned = replace(DEFENSE, rate=0.6).release(base.responses, base.context(serving(-99.0)))
    control = RandomErrors(0.6, "step").release(base.responses, base.context())
    rows = [set(base.responses.tokens.row_of_value[changed(new, base.responses)]) for new in (poisoned, control)]
    assert rows[0]
    assert rows[0] <= rows[1]


@pytest.mark.parametrize("cut", [TraceHidden(), TraceEvery(2)], ids=str)
def test_stacks_in_either_order(cut):
    base = world(2, k=2)
    for first, second in ((DEFENSE, cut), (cut, DEFENSE)):
        once = first.release(base.responses, base.context(serving(-99.0)))
        twice = second.release(once, base.context(serving(-99.0), seed=1))
        assert_aligned(twice)
        for one, other in zip(besides(twice), besides(base.responses), strict=True):
            np.testing.assert_array_equal(one, other)


def test_rates_share_a_preparation_and_bounds_do_not():
    assert preparation_of(DEFENSE) == preparation_of(replace(DEFENSE, rate=0.1))
    assert preparation_of(DEFENSE) != preparation_of(replace(DEFENSE, quantile=0.1))


def test_refuses_what_cannot_be():
    for fields in ({"rate": 1.1}, {"quantile": 1.0}, {"judge": "nobody"}, {"hinge": "nothing"}, {"traces": 0}):
        with pytest.raises(ConfigError, match=next(iter(fields))):
            replace(DEFENSE, **fields)
    with pytest.raises(ConfigError, match=r"other tokens than the teacher.*choices: teacher"):
        DEFENSE.prepare(replace(preparation(), proxy=model))
    with pytest.raises(ConfigError, match="clean traces have none"):
        DEFENSE.prepare(replace(preparation(), clean_traces=lambda n: traces(20).take(np.arange(8, 16))))
