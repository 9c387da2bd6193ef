"""Steps that say harvested responses again: by a model of the attacker's, with or without what rose in it subtracted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from attacks.compute import Compute, ComputeMeter
from attacks.recover.neutralise_watermark import Inverse, NeutraliseWatermark, keyed, risen, weights
from attacks.recover.paraphrase_back import ParaphraseBack
from attacks.recover.retelling import Retelling, retold
from configs.errors import ConfigError
from defenses.decoding.kgw import KGW
from lm.examples import Examples
from lm.huggingface import Pretrained
from lm.ragged import Ragged
from lm.types import Channel, Generations, Scores
from tests.attacks.world import EOS, MARK, Table, examples, recover_context, said

T, A = Channel.TRACE, Channel.ANSWER
V, END, ROWS, LENGTH, SECRET = 60, 11, 1500, 12, 5


class Pairs:
    """Says each token by the one before it, and ends after `LENGTH` tokens."""

    vocabulary, ends = V, np.array([END])

    def __init__(self, table):
        self.table = table

    def encode_prompts(self, texts):
        return Ragged.of([[int(text) % 10] for text in texts])

    def decode(self, tokens):
        return [" ".join(str(token) for token in row if token != END) for row in tokens]

    def generate(self, prompts, sampling, seeds, processors=(), tools=None):
        noise = np.random.default_rng(seeds[0]).gumbel(size=(LENGTH, len(prompts), V))
        ids = prompts.values[:, None]
        for step in noise:
            scores = torch.from_numpy(log_softmax(self.table[ids[:, -1]], 1))
            for processor in processors:
                scores = processor(torch.from_numpy(ids), scores)
            ids = np.column_stack([ids, (scores.numpy() + step).argmax(1)])
        tokens = Ragged.of(np.column_stack([ids[:, 1:], np.full(len(ids), END)]))
        n = len(tokens.values)
        return Generations(tokens, np.full(n, T, np.uint8), np.zeros(n, np.float32), np.ones(len(prompts), bool))

    def score(self, prompts, completions, top_k=0):
        first = prompts.values[completions.row_of_value]
        before = np.where(completions.position > 0, np.roll(completions.values, 1), first)
        p = log_softmax(self.table, 1)[before]
        best = np.argsort(-p, 1)[:, :top_k]
        zero = np.zeros(len(p), np.float32)
        return Scores(zero, zero > 0, zero, best, np.take_along_axis(p, best, 1))


def table(seed=0):
    scores = np.random.default_rng(seed).standard_normal((V, V))
    scores[:, END] = -12
    return scores


WATERMARK = KGW(2.0, width=1, key=3)
GREEN = WATERMARK.green(np.arange(V)[:, None], np.arange(V), SECRET)
BASE, FITTED = Pairs(table()), Pairs(table() + WATERMARK.delta * GREEN)
"""The attacker's model before and after it learnt from a watermarked teacher all that there is to learn."""


def harvested():
    """What that teacher said."""
    items = np.arange(ROWS)
    drawn = FITTED.generate(BASE.encode_prompts(map(str, items)), None, [1])
    n = len(drawn.tokens.values)
    weight = np.ones(n, np.float32)
    return Examples(
        BASE.encode_prompts(map(str, items)), drawn.tokens, drawn.channel, weight, items, np.zeros(ROWS, bool)
    )


def encode(items, texts):
    tokens = Ragged.of([[*map(int, text.split()), END] for text in texts])
    n = len(tokens.values)
    prompts = BASE.encode_prompts([str(i) for i in items])
    return Examples(
        prompts, tokens, np.full(n, T, np.uint8), np.ones(n, np.float32), np.asarray(items), np.zeros(len(tokens), bool)
    )


def context(**fields):
    own = recover_context(student=BASE, fit=lambda rows, start=None, objective=None, seed=0: (FITTED, BASE)[seed])
    decode = lambda rows: BASE.decode(rows.completions)  # noqa: E731
    texts = [str(i) for i in range(ROWS)]
    return replace(own, **{"encode": encode, "decode": decode, "texts": texts, "max_tokens": LENGTH + 1, **fields})


def evidence(rows):
    bodies = rows.completions.keep(rows.completions.values != END)
    return WATERMARK.evidence(rows.prompts, bodies, SECRET)


def test_what_is_subtracted_takes_the_watermark_out_of_the_text():
    data = harvested()
    assert evidence(data).p < 1e-12
    plain = ParaphraseBack().apply(data, context())
    assert evidence(plain).p < 1e-12, "a model that learnt the watermark says it again"
    neutral, weak, strong = (
        NeutraliseWatermark(strength, width=1, public_rows=10).apply(data, context()) for strength in (2.25, 1.0, 4.0)
    )
    assert len(neutral) == len(plain) == ROWS
    assert 0.05 < evidence(neutral).p < 0.95
    assert share(data) > share(weak) > share(neutral) > share(strong)
    assert abs(share(neutral) - 0.5) < 0.03
    assert share(strong) < 0.4, "too much turns it around"


def share(rows):
    """Of tokens that are green."""
    body = rows.completions.position > 0
    before = np.roll(rows.completions.values, 1)
    kept = body & (rows.completions.values != END)
    return GREEN[before[kept], rows.completions.values[kept]].mean()


def test_no_strength_is_paraphrasing():
    data = harvested()
    plain, none = ParaphraseBack().apply(data, context()), NeutraliseWatermark(strength=0.0).apply(data, context())
    np.testing.assert_array_equal(plain.completions.values, none.completions.values)


def test_rise_is_half_the_ratio_at_most_one_and_nothing_where_it_fell():
    rows = encode(np.arange(3), ["1 2 3", "4 2 5", "2 6 1"])
    empty, after_one, _ = risen(FITTED, BASE, rows, 2, V)
    p = [np.exp(log_softmax(lm.table, 1)) for lm in (FITTED, BASE)]
    context_of = [0, 1, 2, 3, 1, 4, 2, 5, 2, 2, 6, 1]
    mean = [table[context_of].mean(0) for table in p]
    expected = np.where(mean[0] > mean[1], 0.5 * np.minimum(2, mean[0] / mean[1]), 0)
    np.testing.assert_allclose(empty.weighted.toarray()[0], expected, rtol=1e-5)
    at = np.searchsorted(after_one.keys, 2)
    expected = np.where(p[0][2] > p[1][2], 0.5 * np.minimum(2, p[0][2] / p[1][2]), 0)
    np.testing.assert_allclose(
        after_one.weighted.toarray()[at], expected, rtol=1e-5, err_msg="the most frequent weighs 1"
    )


def test_weights_fall_with_rarity():
    found = weights(np.array([0.1, 0.01, 0.001, 1e-6]))
    expected = [1, 2**-0.3, 3**-0.3, 0]
    np.testing.assert_allclose(found, expected)
    assert weights(np.array([1.0])).tolist() == [1.0]


def test_scores_fall_after_known_prefixes_alone():
    found = risen(FITTED, BASE, encode([0], ["7 8"]), 1, V)[1:]
    scores = torch.zeros(3, V)
    changed = Inverse(found, 2.0)(torch.tensor([[3, 7], [3, 8], [3, 9]]), scores)
    row = found[0].weighted[np.searchsorted(found[0].keys, 7)].toarray()[0]
    np.testing.assert_allclose(changed[0], -2 * row, rtol=1e-6)
    assert (changed[2] == 0).all()
    assert (scores == 0).all()


def test_prefixes_have_different_numbers():
    prefixes = np.stack(np.meshgrid(*[np.arange(7)] * 3), -1).reshape(-1, 3)
    assert len(np.unique(keyed(prefixes, 7))) == 7**3
    assert keyed(np.zeros((2, 0), np.int32), 7).tolist() == [0, 0]


WHOLE = [(1, T), (MARK, A), (7, A), (EOS, A)]
NO_ANSWER = [(1, T), (2, T)]


class Turns:
    """Says texts in turn, and remembers which rows it was asked for."""

    def __init__(self, *turns):
        self.turns, self.asked = list(turns), []

    def __call__(self, rows):
        self.asked.append(rows.item.tolist())
        text, finished = self.turns.pop(0)
        return Retelling([text] * len(rows), np.full(len(rows), finished))


def test_only_responses_that_end_with_the_answer_are_taken_and_others_tried_again():
    other = [(1, T), (MARK, A), (8, A), (EOS, A)]
    data = examples([WHOLE, other, NO_ANSWER, WHOLE], item=[0, 1, 2, -1])
    told = Turns(("5 10 7", False), ("5 10 7", True), ("6 10 9", True))
    got = retold(data, recover_context(), told, tries=3)
    assert told.asked == [[0, 1, 2], [0, 1, 2], [1]]
    assert got.item.tolist() == [0, 2, -1], "1 was never answered right; rows of nobody's prompt stay"
    assert [row.tolist() for row in got.completions] == [[5, MARK, 7, EOS]] * 2 + [[1, MARK, 7, EOS]]


def test_what_cannot_be_paid_is_dropped():
    data = examples([WHOLE] * 5)
    poor = replace(recover_context(), compute=ComputeMeter(Compute(samples=100, tokens=8 * 3)))
    told = Turns(("5 10 7", True), ("5 10 7", True))

    def tell(rows):
        poor.compute.book(len(rows), 8 * len(rows))
        return told(rows)

    assert retold(data, poor, tell, tries=2).item.tolist() == [0, 1, 2]


def test_draws_are_booked():
    meter = ComputeMeter(Compute())
    ParaphraseBack().apply(harvested(), context(compute=meter))
    assert (meter.samples, meter.tokens) == (ROWS, ROWS * (LENGTH + 1))


class Rewriter:
    """Puts 9 before what it is given."""

    vocabulary, ends = V, Table.ends

    def __init__(self):
        self.given = []

    def encode_prompts(self, texts):
        self.given += texts
        return Table().encode([text.rsplit("\n", 1)[1] for text in texts])

    def decode(self, tokens):
        return Table().decode(tokens)

    def generate(self, prompts, sampling, seeds):
        tokens = Ragged.of([[9, *row, EOS] for row in prompts])
        n = len(tokens.values)
        return Generations(tokens, np.zeros(n, np.uint8), np.zeros(n, np.float32), np.ones(len(prompts), bool))


def test_a_rewriter_is_given_the_responses_and_leaves_tool_results_alone(monkeypatch):
    lm = Rewriter()
    monkeypatch.setattr("lm.by_spec.opened", lambda spec: lm)
    called = [(4, Channel.CALL), (5, Channel.TOOL), *WHOLE]
    data = examples([WHOLE, called], item=[0, 1])
    meter = ComputeMeter(Compute())
    step = ParaphraseBack(rewriter=Pretrained("somewhere"))
    got = step.apply(data, replace(recover_context(), compute=meter))
    assert [row.tolist() for row in got.completions] == [[9, 1, MARK, 7, EOS], [4, 5, 1, MARK, 7, EOS]]
    assert lm.given[0].startswith("Say the following answer")
    assert meter.samples == 1
    np.testing.assert_array_equal(said([0], ["9 1 10 7"]).channel, got.channel[:5])


@pytest.mark.parametrize(
    ("field", "value"), [("strength", -1.0), ("width", 0), ("width", 4), ("public_rows", -1), ("tries", 0), ("top", 0)]
)
def test_refuses_impossible_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        NeutraliseWatermark(**{field: value})


def test_refuses_no_tries():
    with pytest.raises(ConfigError, match="tries"):
        ParaphraseBack(tries=0)
