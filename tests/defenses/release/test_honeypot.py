"""Canaries: where they are planted, that nobody else says them, and what can be said of who learnt them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from configs.errors import ConfigError
from defenses.base import Detection, Preparation, Serving, preparation_of
from defenses.keyed import normals, row_hashes
from defenses.release.honeypot import Honeypot
from defenses.release.suspects import Suspects
from defenses.release.trace_hidden import TraceHidden
from defenses.release.trace_truncated import TraceTruncated
from lm.from_words import fresh_model, mini_language_model, word_examples
from lm.ragged import Ragged
from lm.types import Channel
from tasks.mini.words import FACT, SYLLABLES
from tests.defenses.release.mini_responses import (
    LM,
    assert_answers_kept,
    besides,
    items,
    same,
    texts_of,
    world,
    worlds,
)

DEFENSE = Honeypot(1.0, canaries=4, decoys=9, probes=3, traces=40)


def traces(n):
    found = items()[:n]
    return word_examples(LM, [i.prompt for i in found], [i.reference for i in found])


def preparation():
    return Preparation(LM, lambda: LM, traces, np.random.default_rng(0))


WORDS = DEFENSE.prepare(preparation())["words"]


def serving(seed=5):
    return Serving(LM, prepared={"words": WORDS}, seed=seed)


def detection(suspect, seed=5, draws=0):
    prompts = [item.prompt for item in items()[:8]]
    return Detection(suspect, prompts, serving(seed), LM.format, np.random.default_rng(draws))


def said(seed=5, defense=DEFENSE):
    """The canaries as texts."""
    found = defense.drawn(WORDS.numpy(), seed)
    return LM.decode(Ragged.of(np.column_stack([found.keys, found.pool[found.values]])))


def test_words_are_those_that_the_teacher_never_says():
    words = LM.decode(Ragged.of(WORDS.numpy()[:, None]))
    assert {*SYLLABLES, FACT} <= set(words)
    assert not set(words) & {word for text in LM.decode(traces(40).completions) for word in text.split()}
    assert all(word.isalnum() for word in words)


@settings(max_examples=10, deadline=None)
@given(base=worlds, share=st.sampled_from([0.0, 0.5, 1.0]), seed=st.integers(0, 3))
def test_a_trace_with_a_canary_is_the_trace_and_a_canary(base, share, seed):
    old, defense = base.responses, replace(DEFENSE, share=share)
    new = defense.release(old, base.context(serving(), seed=seed))
    assert_answers_kept(new, old)
    assert same(new, defense.release(old, base.context(serving(), seed=seed)))
    if share == 0:
        assert new is old
    for item, before, after in zip(base.items, texts_of(old), texts_of(new), strict=True):
        if before == after:
            assert share < 1 or item.family in ("code", "facts")
            continue
        found = [canary for canary in said() if canary in after]
        assert len(found) == 1
        head, _, rest = after.partition(found[0])
        assert " ".join((head + rest).split()) == before


def test_share_place_and_canary_are_drawn():
    counts, heads, which = np.zeros(2), set(), set()
    for seed in range(20):
        base = world(seed)
        new = replace(DEFENSE, share=0.3).release(base.responses, base.context(serving()))
        for item, text in zip(base.items, texts_of(new), strict=True):
            if item.family != "chain":
                continue
            found = [canary for canary in said() if canary in text]
            counts += [len(found), 1]
            which |= set(found)
            heads |= {len(LM.encode([text.partition(canary)[0]]).values) for canary in found}
    assert counts[0] / counts[1] == pytest.approx(0.3, abs=4 * (0.21 / counts[1]) ** 0.5)
    assert which == set(said())
    assert len(heads) > 4


def test_canaries_are_functions_of_the_secret_and_all_different():
    assert said(5) == said(5) != said(6)
    many = replace(DEFENSE, canaries=40)
    found = many.drawn(WORDS.numpy(), 1)
    assert len({tuple(key) for key in found.keys}) == 40
    assert len(set(found.pool)) == 10
    assert not set(found.pool) & set(found.keys.ravel())
    assert preparation_of(DEFENSE) == preparation_of(replace(DEFENSE, share=0.1, probes=5))


class Says:
    """A suspect that finds one word of the pool likelier after each key, by as much as it is told."""

    def __init__(self, values, gain):
        found = DEFENSE.drawn(WORDS.numpy(), 5)
        self.likes = {(*key, found.pool[v]): gain for key, v in zip(found.keys.tolist(), values, strict=True)}

    encode = staticmethod(LM.encode)
    encode_prompts = staticmethod(LM.encode_prompts)

    def score(self, prompts, completions):
        gains = np.array([self.likes.get(tuple(row.tolist()), 0.0) for row in completions])
        last = completions.position == completions.lengths[completions.row_of_value] - 1
        return type("Scores", (), {"logprob": np.where(last, -3 + gains[completions.row_of_value], -1.0)})


def test_whoever_knows_all_values_is_found_and_whoever_knows_none_is_not():
    true = DEFENSE.drawn(WORDS.numpy(), 5).values
    found = DEFENSE.detect(detection(Says(true, 2.0)))
    assert found.statistic == pytest.approx(2.0 * 0.9)
    assert found.looked_at == 4
    assert found.p == pytest.approx(0.1**4, abs=4e-4), "only the values themselves reach it"
    assert DEFENSE.detect(detection(Says((true + 1) % 10, 2.0))).p > 0.3, "one of those that say none"
    one = np.where(np.arange(4) == 0, true, (true + 1) % 10)
    assert DEFENSE.detect(detection(Says(one, 2.0))).p == pytest.approx(0.2, abs=0.16), "one of four"


class Clean(Says):
    """A suspect with likes of its own, which nobody taught it: a hash of each text."""

    def __init__(self):
        pass

    def score(self, prompts, completions):
        own = normals(row_hashes(completions))[completions.row_of_value]
        return type("Scores", (), {"logprob": own})


def test_p_values_of_clean_students_are_uniform():
    """Over secrets, whatever the student likes."""
    found = [DEFENSE.detect(detection(Clean(), seed, draws=seed)).p for seed in range(120)]
    assert kstest(found, "uniform").pvalue > 0.01
    assert min(found) > 0


def test_a_student_that_finds_all_words_equally_unlikely_is_not_found():
    equal = Says(DEFENSE.drawn(WORDS.numpy(), 5).values, 0.0)
    found = [DEFENSE.detect(detection(equal, draws=seed)) for seed in range(60)]
    assert {round(one.statistic, 9) for one in found} == {0.0}
    assert kstest([one.p for one in found], "uniform").pvalue > 0.01


def test_a_student_that_learnt_the_responses_is_found_and_one_of_another_secret_is_not():
    texts, prompts = [], []
    for seed in range(6):
        base = world(seed)
        new = DEFENSE.release(base.responses, base.context(serving()))
        chains = [i for i, item in enumerate(base.items) if item.family == "chain"]
        texts += [texts_of(new)[i] for i in chains]
        prompts += [base.items[i].prompt for i in chains]
    student = mini_language_model(fresh_model(32, 1, 4, 0))
    student = trained(student, word_examples(LM, prompts, texts))
    assert DEFENSE.detect(detection(student)).p < 0.01
    assert DEFENSE.detect(detection(student, seed=77)).p > 0.05


def trained(student, rows):
    """A copy that has read the rows many times."""
    optimizer = torch.optim.Adam(student.model.parameters(), 1e-2)
    ids = [
        torch.from_numpy(np.concatenate(pair).astype(np.int64))
        for pair in zip(rows.prompts, rows.completions, strict=True)
    ]
    batch = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
    for _ in range(60):
        logits = student.model(input_ids=batch).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch[:, 1:], ignore_index=0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return student


@pytest.mark.parametrize("cut", [TraceHidden(), TraceTruncated(0.5), TraceTruncated(0.5, "last")], ids=str)
def test_stacks_in_either_order(cut):
    base = world(2, k=2)
    for first, second in ((DEFENSE, cut), (cut, DEFENSE)):
        once = first.release(base.responses, base.context(serving()))
        twice = second.release(once, base.context(serving(), seed=1))
        for one, other in zip(besides(twice), besides(base.responses), strict=True):
            np.testing.assert_array_equal(one, other)
        if isinstance(cut, TraceHidden):
            assert not (twice.channel == Channel.TRACE).any()


def test_suspects_alone_get_them_within_suspects_and_are_found_as_well():
    base, wrapped = world(3), Suspects(DEFENSE)
    marked = np.arange(len(base.items)) % 2 == 0
    context = base.context(serving())
    context = replace(context, asked=replace(context.asked, marked=marked))
    new = wrapped.release(base.responses, context)
    planted = np.array([any(canary in text for canary in said()) for text in texts_of(new)])
    assert planted.any()
    assert not (planted & ~marked).any()
    true = DEFENSE.drawn(WORDS.numpy(), 5).values
    assert wrapped.detect(detection(Says(true, 2.0))).p < 0.001


def test_refuses_what_cannot_be():
    for fields in ({"share": -0.1}, {"canaries": 0}, {"length": 0}, {"decoys": 0}, {"probes": 0}):
        with pytest.raises(ConfigError, match=next(iter(fields))):
            replace(DEFENSE, **fields)
    with pytest.raises(ConfigError, match="too few for 4 keys"):
        replace(DEFENSE, decoys=len(WORDS) - 2).prepare(preparation())
    assert DEFENSE.detect(replace(detection(LM), serving=Serving(LM))) is None
    assert DEFENSE.detect(replace(detection(LM), prompts=[])) is None
