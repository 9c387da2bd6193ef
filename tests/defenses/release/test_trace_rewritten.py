"""The search and what is released, with students whose scores are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from configs.errors import ConfigError
from defenses.base import OwnItems, Preparation, Serving, preparation_of
from defenses.release.rewriting_grammar import GENOMES, UNCHANGED, Genome, arranged, kept_share, parsed
from defenses.release.trace_rewritten import TraceRewritten, rewritten
from lm.from_words import word_examples
from lm.types import Channel
from tasks.mini import MiniTask
from teacher.api.schema import Prompts
from tests.defenses.release.responses import DigitCodec, assert_aligned, make
from tests.lm.mini.tiny import tiny

LM = tiny()
TASK = MiniTask()
ITEMS = [
    item for pair in zip(*(TASK.items("provider", f, 60, 1) for f in ("chain", "code")), strict=True) for item in pair
]


def traces(n):
    rng = np.random.default_rng(n)
    return word_examples(LM, [i.prompt for i in ITEMS[:n]], [TASK.seeded_response(i, rng) for i in ITEMS[:n]])


class Provider:
    """Whose students solve a share of the tasks that is a function of the rows they were trained on."""

    def __init__(self, score):
        self.score, self.trained, self.steps, self.asked, self.solved = score, [], [], [], 0

    def preparation(self, seed=0):
        return Preparation(
            LM, lambda: LM, traces, np.random.default_rng(seed), items=self.items, fit=self.fit, progress=self.told
        )

    def items(self, n):
        texts = [item.prompt for item in ITEMS[:n]]
        return OwnItems(Prompts(texts, LM.encode_prompts(texts)), np.array(["chain"] * n, object), self.check)

    def fit(self, rows, steps=None):
        self.trained.append(rows)
        self.steps.append(steps)
        self.asked.append([])
        return LM

    def check(self, item, text):
        self.asked[-1].append(item)
        return len(self.asked[-1]) <= 20 * self.score(self.trained[-1])

    def told(self, done, total, note=""):
        self.done = (done, total)


def shorter_is_harder(rows):
    return len(rows.completions.values) / 600


def lists(prepared, name):
    return [tuple(genes) for genes in prepared[name].tolist()]


DEFENSE = TraceRewritten(keep=0.6, candidates=8, rows=60, items=20, steps=7)


def test_the_lowest_score_wins_among_the_candidates_tried():
    provider = Provider(shorter_is_harder)
    found = DEFENSE.prepare(provider.preparation())
    tried, accuracy = lists(found, "tried"), found["accuracy"].tolist()
    assert tried[0] == tuple(UNCHANGED)
    assert len(set(tried)) == len(tried) == 8 == len(provider.trained)
    assert set(provider.steps) == {7}
    assert provider.done == (8, 8)
    assert len(set(accuracy)) > 3
    assert accuracy[tried.index(tuple(found["searched"].tolist()))] == min(accuracy) < accuracy[0]
    clean = traces(60)
    has = [i for i, item in enumerate(ITEMS[:60]) if item.family == "chain"]
    for genome, rows, share, score in zip(tried, provider.trained, found["kept"].tolist(), accuracy, strict=True):
        expected = rewritten(clean.take(np.array(has)), LM.format, Genome(*genome))
        for f in ("completions", "prompts"):
            assert np.array_equal(getattr(rows, f).values, getattr(expected, f).values)
            assert np.array_equal(getattr(rows, f).offsets, getattr(expected, f).offsets)
        assert np.array_equal(rows.channel, LM.format.channels(rows.completions))
        assert score == pytest.approx(np.floor(20 * shorter_is_harder(rows)) / 20)
        assert share >= 0.6


def test_all_students_are_asked_the_same_tasks_which_none_was_trained_on():
    provider = Provider(shorter_is_harder)
    DEFENSE.prepare(provider.preparation())
    assert all(asked == provider.asked[0] for asked in provider.asked)
    assert len(provider.asked[0]) == 20
    trained = {tuple(prompt) for prompt in provider.trained[0].prompts}
    assert trained
    assert not trained & {tuple(LM.encode_prompts([ITEMS[i].prompt])[0]) for i in provider.asked[0]}


def test_the_text_stays_where_no_rewriting_teaches_less():
    found = DEFENSE.prepare(Provider(lambda rows: 0.5).preparation())
    assert tuple(found["searched"].tolist()) == tuple(UNCHANGED)


def test_second_half_of_the_candidates_is_near_the_best():
    found = dataclasses.replace(DEFENSE, candidates=12, keep=0.5).prepare(Provider(shorter_is_harder).preparation(3))
    tried, accuracy = lists(found, "tried"), found["accuracy"].tolist()
    for i in range(6, 12):
        best = tried[int(np.argmin(accuracy[:i]))]
        assert sum(a != b for a, b in zip(tried[i], best, strict=True)) == 1


def test_the_control_keeps_about_as_much_and_is_another():
    clean = traces(60)
    clean = clean.where(np.bincount(clean.completions.row_of_value[clean.channel == Channel.TRACE], minlength=60) > 0)
    parse = parsed(clean.completions, clean.channel, LM.format)
    share = {g: kept_share(parse, clean.channel, arranged(parse, len(clean), g)) for g in GENOMES}
    drawn = set()
    for seed in range(6):
        found = DEFENSE.prepare(Provider(shorter_is_harder).preparation(seed))
        searched, control = (Genome(*found[name].tolist()) for name in ("searched", "random"))
        assert control not in (searched, UNCHANGED)
        assert abs(share[control] - share[searched]) < 0.05
        drawn.add(control)
    assert len(drawn) > 1


def test_the_search_is_a_function_of_its_generator():
    one, again, other = (DEFENSE.prepare(Provider(shorter_is_harder).preparation(seed)) for seed in (0, 0, 1))
    assert lists(one, "tried") == lists(again, "tried") != lists(other, "tried")


def test_searched_and_control_share_one_preparation():
    assert preparation_of(DEFENSE) == preparation_of(dataclasses.replace(DEFENSE, search=False))
    assert preparation_of(DEFENSE) != preparation_of(dataclasses.replace(DEFENSE, keep=0.61))


def released(genome, search=True, codec=None, **named):
    import torch

    responses, context = make(n=200, k=3)
    found = {"searched": genome, "random": Genome(order=1), **named}
    serving = Serving(None, prepared={name: torch.tensor(genes) for name, genes in found.items()})
    context = dataclasses.replace(context(), serving=serving, codec=codec or DigitCodec())
    return responses, dataclasses.replace(DEFENSE, search=search).release(responses, context), context


@pytest.mark.parametrize(
    "genome", [Genome(2), Genome(2, 1, 1, 1, 1, 2), Genome(repeat=2), Genome(3, 2, 0, 0, 3)], ids=str
)
def test_what_is_released_is_what_the_grammar_says(genome):
    responses, done, context = released(genome)
    assert_aligned(done)
    places = arranged(parsed(responses.tokens, responses.channel, context.format), len(responses), genome)
    assert np.array_equal(done.tokens.values, responses.tokens.values[places.values])
    assert np.array_equal(done.tokens.offsets, places.offsets)
    changed = np.array([not np.array_equal(a, b) for a, b in zip(done.tokens, responses.tokens, strict=True)])
    assert 20 < changed.sum() < 200
    of_token = changed[done.tokens.row_of_value]
    assert np.isnan(done.logprob[of_token]).all()
    assert not np.isnan(done.logprob[~of_token]).any()
    assert np.array_equal(done.cut, responses.cut)
    assert np.array_equal(done.output_tokens, responses.output_tokens)


def test_the_control_serves_the_random_genome():
    _, searched, _ = released(Genome(2))
    _, control, _ = released(Genome(2), search=False)
    _, reverse, _ = released(Genome(order=1))
    assert np.array_equal(control.tokens.values, reverse.tokens.values)
    assert not np.array_equal(control.tokens.values, searched.tokens.values)


class Spoils(DigitCodec):
    """Cannot say a 44, which is part of answers."""

    def encode(self, texts):
        return super().encode([text.replace("44", "45") for text in texts])


def test_a_response_whose_answer_would_change_is_left_alone():
    responses, done, _ = released(Genome(2), codec=Spoils())
    _, good, _ = released(Genome(2))
    spoilt = np.array([44 in row for row in responses.tokens])
    assert spoilt.any()
    for row in range(len(responses)):
        expected = responses if spoilt[row] else good
        assert np.array_equal(done.tokens[row], expected.tokens[row])


def test_at_full_keep_nothing_is_prepared_and_nothing_changed():
    full = dataclasses.replace(DEFENSE, keep=1.0)
    assert full.prepare(Provider(shorter_is_harder).preparation()) == {}
    responses, context = make(n=50, k=3)
    assert full.release(responses, context()) is responses
    _, done, _ = released(UNCHANGED)
    assert np.array_equal(done.logprob, make(n=200, k=3)[0].logprob)


@pytest.mark.parametrize(
    "field", [{"keep": 0.0}, {"keep": 1.1}, {"candidates": 0}, {"items": 0}, {"steps": 0}, {"rows": 0}]
)
def test_refuses_what_cannot_be(field):
    with pytest.raises(ConfigError, match=next(iter(field))):
        dataclasses.replace(DEFENSE, **field)


def test_a_teacher_without_traces_cannot_be_rewritten():
    code = Provider(shorter_is_harder).preparation()
    none = dataclasses.replace(code, clean_traces=lambda n: traces(60).take(np.arange(1, 60, 2)))
    with pytest.raises(ConfigError, match="no trace"):
        DEFENSE.prepare(none)
