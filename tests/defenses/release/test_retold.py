"""The same trace said otherwise by the grammar: what each way makes of it, and what none of them may change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from defenses.base import Serving, hooks_of
from defenses.release.length_matched import LengthMatched
from defenses.release.paraphrase import Paraphrase
from defenses.release.skeleton_edited import SkeletonEdited
from defenses.release.trace_confident import TraceConfident
from defenses.release.trace_every import TraceEvery
from defenses.release.trace_hidden import TraceHidden
from defenses.release.trace_reordered import TraceReordered
from defenses.release.trace_summary import TraceSummary
from defenses.release.trace_truncated import TraceTruncated
from lm.ragged import Ragged
from lm.types import Channel
from tasks.mini.words import CHECK, DIGITS, FUNCTIONS, MARK, SEPARATORS
from tests.defenses.release.mini_responses import LM, assert_answers_kept, same, texts_of, world, worlds
from tests.defenses.release.responses import assert_aligned
from tests.defenses.release.test_rewriting_grammar import claims_hold

CHAIN = "3 +1 -> 4 4 +3 = 7 ok 7 *3 gives 1 1 +4 *7 -> 5 ok # 5"
TOOL = "CALL [ stock price 3 ] 7 7 +3 = 0 ok # 0"
SPLIT = f"+1 -> 4 {TOOL}"
"""A call interrupts this trace: the grammar leaves such a row alone."""
WAYS = [
    TraceConfident(),
    TraceReordered(),
    SkeletonEdited(0.6),
    SkeletonEdited(1.0),
    Paraphrase(0.5),
    Paraphrase(1.0),
    LengthMatched(TraceEvery(2)),
    LengthMatched(TraceConfident()),
    TraceEvery(3),
]


def released(defense, *texts, seed=0):
    """What becomes of these texts."""
    base = world()
    tokens = Ragged.of([[*row, LM.tokenizer.eos_token_id] for row in LM.encode(texts)])
    rows = base.responses.take(np.arange(len(texts)))
    rows = replace(
        rows, tokens=tokens, channel=LM.format.channels(tokens), output_tokens=tokens.lengths.astype(np.int32)
    )
    return texts_of(defense.release(rows, base.context(seed=seed)))


@pytest.mark.parametrize(
    ("defense", "new"),
    [
        (TraceConfident(), "+1 -> 4 +3 = 7 *3 gives 1 +4 *7 -> 5 # 5"),
        (TraceReordered(), "-> 4 +1 = 7 +3 gives 1 *3 -> 5 +4 *7 # 5"),
        (TraceEvery(2), "4 +3 = 7 1 +4 *7 -> 5 ok # 5"),
        (TraceEvery(4), "1 +4 *7 -> 5 ok # 5"),
        (TraceEvery(1), CHAIN),
        (SkeletonEdited(0.0), CHAIN),
        (Paraphrase(0.0), CHAIN),
    ],
    ids=str,
)
def test_what_becomes_of_a_chain(defense, new):
    assert released(defense, CHAIN, "# 4 7", "# rev ( x )") == [new, "# 4 7", "# rev ( x )"]


def test_after_a_call_the_trace_is_said_anew_and_around_one_it_is_left():
    assert released(TraceConfident(), TOOL, SPLIT) == ["CALL [ stock price 3 ] 7 +3 = 0 # 0", SPLIT]
    assert released(TraceReordered(), TOOL, SPLIT) == ["CALL [ stock price 3 ] 7 = 0 +3 # 0", SPLIT]
    assert released(TraceEvery(2), SPLIT) == [TOOL]


def test_the_whole_skeleton_merged_is_one_statement():
    (text,) = released(SkeletonEdited(1.0), CHAIN)
    words = text.split()
    assert words[:5] == ["+1", "+3", "*3", "+4", "*7"]
    assert words[5] in {"=", "gives"}, "announced by another word than before"
    assert words[6:] == ["5", "ok", "#", "5"]


def test_a_paraphrase_of_all_exchanges_every_announcing_word():
    (text,) = released(Paraphrase(1.0), CHAIN)
    old, new = (CHAIN.replace(" ok 7", "").split(), text.split())
    bare = [w for i, w in enumerate(CHAIN.split()) if i not in {0, 4, 8, 9, 13}]
    assert len(new) == len(bare) < len(old)
    for before, after in zip(bare, new, strict=True):
        assert (before in SEPARATORS) == (after in SEPARATORS)
        assert (before == after) == (before not in SEPARATORS)
    others = {released(Paraphrase(1.0), CHAIN, seed=seed)[0].split()[1] for seed in range(12)}
    assert others == {"=", "gives"}


def conclusions_hold(words, functions, start):
    """Whether a trace says results of the chain, each before the functions that lead to it, in order."""
    from tasks.mini.chain import apply

    state, at, done = start, 0, 0
    while at < len(words):
        assert words[at] in SEPARATORS, words
        claim, at, first = words[at + 1], at + 2, done
        while at < len(words) and words[at] in FUNCTIONS:
            assert words[at] == functions[done]
            state, at, done = apply(words[at], state), at + 1, done + 1
        assert done > first
        assert claim == str(state), words
    return done == len(functions)


@settings(max_examples=15, deadline=None)
@given(world_=worlds, way=st.sampled_from(WAYS), seed=st.integers(0, 3))
def test_answers_stay_statements_stay_true_and_draws_are_the_contexts(world_, way, seed):
    old = world_.responses
    new = way.release(old, world_.context(seed=seed))
    assert_aligned(new)
    assert_answers_kept(new, old)
    assert same(new, way.release(old, world_.context(seed=seed)))
    for item, before, after in zip(world_.items, texts_of(old), texts_of(new), strict=True):
        words = after.partition(MARK)[0].split()
        if item.family != "chain":
            assert before.partition(MARK)[2] == after.partition(MARK)[2]
            continue
        prompt = item.prompt.split()
        if isinstance(way, TraceReordered):
            assert conclusions_hold(words, prompt[1:-1], int(prompt[0]))
        else:
            assert claims_hold([*words, MARK], prompt[1:-1], int(prompt[0])) is not None, (before, after)
        if isinstance(way, TraceConfident | TraceReordered):
            assert CHECK not in words
            assert sum(word in DIGITS for word in words) == sum(word in SEPARATORS for word in words)


@settings(max_examples=10, deadline=None)
@given(
    world_=worlds, rates=st.tuples(*[st.floats(0, 1)] * 2).map(sorted), way=st.sampled_from(["paraphrase", "skeleton"])
)
def test_a_larger_share_changes_a_superset(world_, rates, way):
    kind = {"paraphrase": Paraphrase, "skeleton": SkeletonEdited}[way]
    less, more = (kind(rate).release(world_.responses, world_.context()) for rate in rates)
    none = kind(0.0).release(world_.responses, world_.context())
    assert same(none, world_.responses)
    changed = [
        {i for i, pair in enumerate(zip(new.tokens, world_.responses.tokens, strict=True)) if not np.array_equal(*pair)}
        for new in (less, more)
    ]
    assert changed[0] <= changed[1]
    if way == "skeleton":
        states = [LM.format.summary(new.tokens, new.channel).sum() for new in (none, less, more)]
        assert states[0] >= states[1] >= states[2]


def steps(responses):
    """(R,) how many sub-results each trace states."""
    return np.bincount(responses.tokens.row_of_value, LM.format.summary(responses.tokens, responses.channel))


def traces_of(responses):
    return responses.tokens.keep(responses.channel == Channel.TRACE)


def test_the_rate_is_the_share_of_sub_results_that_are_merged():
    counts = np.zeros(2)
    for seed in range(40):
        base = world(seed)
        new = SkeletonEdited(0.3).release(base.responses, base.context())
        before, after = steps(base.responses), steps(new)
        counts += [(before - after).sum(), np.maximum(before - 1, 0).sum()]
    assert counts[0] / counts[1] == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / counts[1]) ** 0.5)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_of_s_steps_the_ceiling_of_s_over_n_is_shown_the_last_included(n):
    base = world(3)
    new = TraceEvery(n).release(base.responses, base.context())
    np.testing.assert_array_equal(steps(new), np.ceil(steps(base.responses) / n))
    assert (new.cut == (new.tokens.lengths < base.responses.tokens.lengths)).all()
    for one, other in zip(traces_of(new), traces_of(base.responses), strict=True):
        np.testing.assert_array_equal(one[-1:], other[-1:])


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(
    "cut", [TraceHidden(), TraceSummary(), TraceTruncated(0.5), TraceTruncated(0.5, "last")], ids=str
)
def test_stacks_with_what_hides_in_either_order(way, cut):
    base = world(2, k=2)
    for first, second in ((way, cut), (cut, way)):
        once = first.release(base.responses, base.context())
        twice = second.release(once, base.context(seed=1))
        assert_aligned(twice)
        assert_answers_kept(twice, base.responses)
        if isinstance(cut, TraceHidden):
            assert not (twice.channel == Channel.TRACE).any()


def test_rewritten_rows_have_no_logprobs_and_all_others_keep_theirs():
    base = world(1, k=2)
    serving = Serving(LM)
    new = TraceConfident().release(base.responses, base.context(serving))
    changed = np.array([not np.array_equal(a, b) for a, b in zip(new.tokens, base.responses.tokens, strict=True)])
    assert 0 < changed.sum() < len(changed)
    assert serving.memory["rewriter"] == {"rewritten": changed.sum()}
    of_token = changed[new.tokens.row_of_value]
    assert np.isnan(new.logprob[of_token]).all()
    assert not np.isnan(new.logprob[~of_token]).any()
    assert not new.cut.any()


class Spoils:
    """Cannot say one word: says another."""

    ends = LM.ends
    decode = staticmethod(LM.decode)

    def __init__(self, word, other):
        self.word, self.other = word, other

    def encode(self, texts):
        return LM.encode([" ".join(self.other if w == self.word else w for w in text.split()) for text in texts])


def test_a_row_whose_answer_would_change_leaves_as_it_was_and_is_counted():
    base, serving = world(4), Serving(LM)
    answer = base.items[0].answer
    codec = Spoils(answer, "1" if answer == "0" else "0")
    new = SkeletonEdited(1.0).release(base.responses, replace(base.context(serving), codec=codec))
    good = SkeletonEdited(1.0).release(base.responses, base.context())
    spoilt = np.array([answer in text.partition(MARK)[2].split() for text in texts_of(good)])
    changed = np.array([not np.array_equal(a, b) for a, b in zip(good.tokens, base.responses.tokens, strict=True)])
    assert (spoilt & changed).any()
    for row in np.flatnonzero(spoilt):
        np.testing.assert_array_equal(new.tokens[row], base.responses.tokens[row])
    assert serving.memory["rewriter"]["the answer changed"] >= (spoilt & changed).sum()
    assert serving.memory["rewriter"]["rewritten"] > 0
    assert_answers_kept(new, base.responses)


def test_a_model_alone_is_prepared():
    assert all(hooks_of(way) == ("release",) for way in WAYS)


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        (TraceEvery, {"n": 0}, "n"),
        (SkeletonEdited, {"rate": 1.5}, "rate"),
        (Paraphrase, {"alpha": -0.1}, "alpha"),
        (LengthMatched, {"inner": None}, "inner"),
    ],
)
def test_refuses_what_cannot_be(kind, fields, field):
    if fields.get("inner", 0) is None:
        from defenses.decoding.temperature import Temperature

        fields = {"inner": Temperature(1.5)}
    with pytest.raises(ConfigError, match=field):
        kind(**fields)
