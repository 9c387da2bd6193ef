"""Whole working written around what is shown of it, and kept where the answer is the same."""

from dataclasses import replace

import numpy as np
import pytest

from attacks.compute import Compute, ComputeMeter
from attacks.knowledge import Rehearsed
from attacks.recover.expand_summaries import ExpandSummaries, hidden_as, hiding_of
from attacks.recover.invert_trace import InvertTrace
from configs.errors import ConfigError
from lm.ragged import Ragged
from lm.types import Channel, Generations
from tests.attacks.world import EOS, MARK, Format, Table, examples, recover_context

T, A = Channel.TRACE, Channel.ANSWER


class Writer:
    """Asked "prompt shown", writes the working 5 6 before what is shown; its first draws give every other prompt another
    answer."""

    vocabulary, ends = 12, np.array([EOS])

    def __init__(self):
        self.asked, self.fits, self.draws = [], [], 0

    def encode_prompts(self, texts):
        self.asked += texts
        return Table().encode(texts)

    def decode(self, tokens):
        return Table().decode(tokens)

    def generate(self, prompts, sampling, seeds, processors=(), tools=None):
        self.draws += 1
        rows = []
        for at, prompt in enumerate(prompts):
            answer = int(prompt[-1])
            rows.append([5, 6, MARK, answer if self.draws > 1 or at % 2 == 0 else (answer + 1) % 10, EOS])
        tokens = Ragged.of(rows)
        n = len(tokens.values)
        return Generations(tokens, Format().channels(tokens), np.zeros(n, np.float32), np.ones(len(rows), bool))

    def fit(self, rows, start=None, objective=None, seed=0):
        self.fits.append((rows, objective))
        return self


class Even(Format):
    """Even tokens are sub-results."""

    def summary(self, tokens, channel):
        return (channel == T) & (tokens.values % 2 == 0)


def context(writer, check=lambda item, text: True, **changes):
    return replace(recover_context(check, student=writer, fit=writer.fit), **changes)


def hidden(n):
    """Answers without working, cut; the last row is whole."""
    rows = [[(MARK, A), (i % 10, A), (EOS, A)] for i in range(n)] + [[(1, T), (MARK, A), (9, A), (EOS, A)]]
    return examples(rows, cut=[True] * n + [False])


WHOLE = examples([[(1, T), (2, T), (3, T), (4, T), (MARK, A), (7, A)]] * 200, item=[-1] * 200)


def test_what_was_hidden_is_seen_in_the_responses():
    known = replace(recover_context(), format=Even())
    cases = {
        "none": hidden(3).where(np.array([True, True, True, False])),
        "summary": hidden_as(WHOLE, "summary", known),
        "prefix": examples([[(1, T), (2, T), (MARK, A), (7, A)]] * 3),
    }
    for hiding, rows in cases.items():
        assert hiding_of(rows, known) == hiding


def test_public_working_is_hidden_in_the_same_way():
    known = replace(recover_context(), format=Even())
    assert (hidden_as(WHOLE, "none", known).channel == A).all()
    assert hidden_as(WHOLE, "summary", known).completions[0].tolist() == [2, 4, MARK, 7]
    cut = hidden_as(WHOLE, "prefix", known).completions
    assert set(map(len, cut)) == {2, 3, 4, 5} | ({6} & set(map(len, cut))), "at any place"
    assert all(row.tolist() == [*range(1, len(row) - 1), MARK, 7] for row in cut)


def test_summaries_are_expanded_and_other_answers_go():
    writer = Writer()
    found = ExpandSummaries(public_rows=20).apply(hidden(6), context(writer))
    assert found.item.tolist() == [0, 1, 2, 3, 4, 5, 6]
    for item in range(6):
        assert found.completions[item].tolist() == [5, 6, MARK, item, EOS]
    assert found.completions[6].tolist() == [1, MARK, 9, EOS], "what is whole stays"
    assert writer.draws == 2, "those with another answer are drawn again"
    (rows, objective) = writer.fits[0]
    assert len(rows) == 20
    assert objective.name == "sft"
    assert (rows.completions[0] == Table().encode(["1 10 2 11"])[0]).all(), "his model learns to write it whole"


def test_what_the_checker_refuses_goes():
    found = ExpandSummaries(public_rows=4).apply(hidden(6), context(Writer(), lambda item, text: item != 3))
    assert found.item.tolist() == [0, 1, 2, 4, 5, 6]
    kept = ExpandSummaries(public_rows=4, checked=False).apply(
        hidden(6), context(Writer(), lambda item, text: item != 3)
    )
    assert 3 in kept.item


def test_compute_bounds_what_is_drawn():
    meter = ComputeMeter(Compute(samples=4))
    found = ExpandSummaries(public_rows=4).apply(hidden(6), context(Writer(), compute=meter))
    assert meter.samples == 4
    assert len(found) < 7


def test_traces_are_inverted_on_pairs_of_the_shadow():
    writer = Writer()
    whole = examples([[(i, T), (8, T), (MARK, A), (i, A), (EOS, A)] for i in range(5)])
    shown = whole.keep_tokens(whole.channel != T)
    found = InvertTrace().apply(hidden(6), context(writer, rehearsed=Rehearsed(whole, shown)))
    assert found.item.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert found.completions[2].tolist() == [5, 6, MARK, 2, EOS]
    (rows, _) = writer.fits[0]
    assert [row.tolist()[:2] for row in rows.completions] == [[i, 8] for i in range(5)]
    assert writer.asked[0].split() == ["0", str(MARK), "0"], "the prompt, and what is shown as its answer"


def test_where_nothing_is_hidden_from_the_shadow_nothing_is_inverted():
    whole = examples([[(i, T), (MARK, A), (i, A), (EOS, A)] for i in range(5)])
    data = hidden(6)
    assert InvertTrace().apply(data, context(Writer(), rehearsed=Rehearsed(whole, whole))) is data


def test_all_rows_are_inverted_on_wish():
    whole = examples([[(i, T), (MARK, A), (i, A), (EOS, A)] for i in range(5)])
    known = Rehearsed(whole, whole.keep_tokens(whole.channel != T))
    found = InvertTrace(all_rows=True).apply(hidden(6), context(Writer(), rehearsed=known))
    assert found.completions[6].tolist() == [5, 6, MARK, 9, EOS]


@pytest.mark.parametrize(
    ("step", "bad"),
    [(ExpandSummaries, {"public_rows": 0}), (ExpandSummaries, {"tries": 0}), (InvertTrace, {"tries": 0})],
)
def test_fields(step, bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        step(**bad)
