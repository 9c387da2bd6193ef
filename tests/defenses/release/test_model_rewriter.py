"""A language model as the rewriter: its words replace the trace and nothing else; one that spoils answers is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from configs.build import build, describe
from configs.errors import ConfigError
from defenses.base import Defense, Preparation, ReleaseContext, Serving, hooks_of, preparation_of
from defenses.release.model_rewriter import ModelRewriter
from defenses.release.paraphrase import Paraphrase
from defenses.release.rewriter import Desk
from defenses.release.skeleton_edited import SkeletonEdited
from defenses.release.trace_confident import TraceConfident
from defenses.release.trace_hidden import TraceHidden
from defenses.release.trace_reordered import TraceReordered
from defenses.release.trace_truncated import TraceTruncated
from lm.by_spec import opened
from lm.examples import Examples
from lm.huggingface import Pretrained
from lm.ragged import Ragged
from lm.types import Channel
from teacher.api.interface import Interface
from teacher.api.schema import Params, Prompts, Requests, Responses
from tests.defenses.asking import asked
from tests.lm import scripted, tiny

SAYS = {"good": "So the total", "cuts": "So</think>12", "silent": "", "endless": "So total"}
TEXTS = (
    "<think>3 * 4 = 12 and 12 - 5 = 7.</think>\nAnswer: 7",
    "<think>\nHence, it equals 45.\n</think>\n\nThe answer is 45",
    "Answer: 3",
    "Think step by step. So it is 19.\nAnswer: 19",
    "<think>This was cut off before",
)
NEW = (
    "<think>So the total</think>\nAnswer: 7",
    "<think>\nSo the total\n</think>\n\nThe answer is 45",
    "Answer: 3",
    "So the total\nAnswer: 19",
    "<think>So the total",
)


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    """Rewriters by what they say, and a teacher."""
    folder = tmp_path_factory.mktemp("rewriters")
    paths = {name: scripted.save(folder / name, says, ends=name != "endless") for name, says in SAYS.items()}
    paths["teacher"] = tiny.save(folder / "teacher")
    closes = {name: "" if name == "cuts" else "</think>" for name in paths}
    return {name: Pretrained(str(path), device="cpu", think_close=closes[name]) for name, path in paths.items()}


def responses_of(lm, texts=TEXTS, k=0):
    ended = [not text.endswith("before") for text in texts]
    tokens = Ragged.of([[*row, lm.ends[-1]] if end else row for row, end in zip(lm.encode(texts), ended, strict=True)])
    rows, n = len(texts), len(tokens.values)
    logprob = np.zeros(n, np.float32) if k else None
    ids = np.zeros((n, k), np.int32) if k else None
    values = np.zeros((n, k), np.float32) if k else None
    no = np.zeros(rows, np.bool_)
    lengths = tokens.lengths.astype(np.int32)
    return Responses(
        np.arange(rows), tokens, lm.format.channels(tokens), np.array(ended), no, lengths, logprob, ids, values
    )


def context_of(lm, rows, serving=None, max_tokens=64):
    line = np.arange(rows)
    sent = Requests(line.astype(float), np.zeros(rows, np.int32), line, np.full(rows, 4, np.int32), line)
    prompts = Prompts([f"What is {i}?" for i in line], lm.encode_prompts([f"What is {i}?" for i in line]))
    serving = serving or Serving(lm)
    rng = np.random.default_rng(0)
    return ReleaseContext(
        lm.format, Interface(trace="full"), prompts, sent, rng, asked(rows), serving, lm, Params(max_tokens=max_tokens)
    )


def preparation(lm, texts=TEXTS):
    responses = responses_of(lm, texts)
    rows = len(texts)
    prompts = lm.encode_prompts(["What is it?"] * rows)
    weight, item = np.ones(len(responses.channel), np.float32), np.full(rows, -1, np.int64)
    clean = Examples(prompts, responses.tokens, responses.channel, weight, item, np.zeros(rows, np.bool_))
    return Preparation(lm, lambda: lm, lambda n: clean, np.random.default_rng(0))


@pytest.mark.parametrize("kind", [TraceConfident, TraceReordered, lambda **f: SkeletonEdited(0.5, **f)])
def test_the_model_s_words_stand_in_the_place_of_the_trace(specs, kind):
    lm, serving = opened(specs["teacher"]), Serving(opened(specs["teacher"]))
    responses = responses_of(lm, k=2)
    defense = kind(rewriter=specs["good"])
    new = defense.release(responses, context_of(lm, len(TEXTS), serving))
    assert lm.decode(new.tokens) == list(NEW)
    assert serving.memory["rewriter"] == {"rewritten": 4}
    np.testing.assert_array_equal(new.channel, lm.format.channels(new.tokens))
    assert [row[-1] in lm.ends for row in new.tokens] == [True] * 4 + [False]
    for one, other in zip(*(r.tokens.keep(r.channel != Channel.TRACE) for r in (new, responses)), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(np.isnan(new.logprob), np.isin(new.tokens.row_of_value, [0, 1, 3, 4]))
    np.testing.assert_array_equal(new.output_tokens, responses.output_tokens)


@pytest.mark.parametrize(
    ("says", "reason"),
    [("cuts", "the answer changed"), ("silent", "no trace was written"), ("endless", "no trace was written")],
)
def test_what_cannot_be_released_leaves_as_it_was_and_a_rewriter_of_that_kind_is_refused(specs, says, reason):
    lm, serving = opened(specs["teacher"]), Serving(opened(specs["teacher"]))
    responses = responses_of(lm, TEXTS[:2])
    defense = TraceConfident(rewriter=specs[says])
    new = defense.release(responses, context_of(lm, 2, serving))
    np.testing.assert_array_equal(new.tokens.values, responses.tokens.values)
    assert serving.memory["rewriter"] == {reason: 2}
    with pytest.raises(ConfigError, match=f"rewrites 0 of 2 clean traces.*{reason}: 2") as error:
        defense.prepare(preparation(lm, TEXTS[:2]))
    assert error.value.field == "defense.trace_confident.rewriter"
    assert error.value.value == specs[says].path


def test_a_rewriter_that_does_its_work_is_taken_and_none_has_nothing_to_show(specs):
    lm = opened(specs["teacher"])
    assert TraceConfident(rewriter=specs["good"]).prepare(preparation(lm)) == {}
    with pytest.raises(ConfigError, match="there is none to rewrite"):
        TraceConfident(rewriter=specs["good"]).prepare(preparation(lm, ["Answer: 3"]))


def test_no_response_gets_longer_than_its_client_allows(specs):
    lm, serving = opened(specs["teacher"]), Serving(opened(specs["teacher"]))
    short = responses_of(lm, ["<think>3</think>\nAnswer: 7"])
    room = int(short.tokens.lengths[0])
    new = TraceConfident(rewriter=specs["good"]).release(short, context_of(lm, 1, serving, max_tokens=room))
    np.testing.assert_array_equal(new.tokens.values, short.tokens.values)
    assert serving.memory["rewriter"] == {"it is too long": 1}
    wide = TraceConfident(rewriter=specs["good"]).release(short, context_of(lm, 1, max_tokens=room + 20))
    assert lm.decode(wide.tokens) == [NEW[0]]


def test_the_model_is_told_the_instruction_and_the_trace_alone(specs, monkeypatch):
    lm, rewriter = opened(specs["teacher"]), opened(specs["good"])
    heard = []

    class Listens(type(rewriter)):
        def encode_prompts(self, prompts):
            heard.extend(prompts)
            return super().encode_prompts(prompts)

    listening = Listens(**{f.name: getattr(rewriter, f.name) for f in dataclasses.fields(rewriter)})
    monkeypatch.setattr("lm.by_spec.opened", lambda spec: listening)
    desk = Desk.at(context_of(lm, len(TEXTS)), responses_of(lm))
    ModelRewriter(specs["good"], "Say it anew.")(responses_of(lm), desk)
    assert heard[0] == "Say it anew.\n\n3 * 4 = 12 and 12 - 5 = 7."
    assert heard[1] == "Say it anew.\n\nHence, it equals 45."
    assert SkeletonEdited(0.3, instruction="Merge {percent}%.").told() == "Merge 30%."


def test_a_share_of_the_responses_is_paraphrased_and_none_at_no_strength(specs):
    lm = opened(specs["teacher"])
    many = responses_of(lm, TEXTS[:1] * 60, k=1)
    counts = []
    for alpha in (0.0, 0.4, 1.0):
        new = Paraphrase(alpha, rewriter=specs["good"]).release(many, context_of(lm, 60))
        texts = lm.decode(new.tokens)
        assert set(texts) <= {TEXTS[0], NEW[0]}
        counts.append(texts.count(NEW[0]))
    assert counts[0] == 0
    assert 0.2 < counts[1] / 60 < 0.6
    assert counts[2] == 60
    context = context_of(lm, 60)
    assert SkeletonEdited(0.0, rewriter=specs["good"]).release(many, context) is many


@pytest.mark.parametrize("cut", [TraceHidden(), TraceTruncated(0.5), TraceTruncated(0.5, "last")], ids=str)
def test_stacks_with_what_hides_in_either_order(specs, cut):
    lm = opened(specs["teacher"])
    old, way = responses_of(lm, TEXTS[:2], k=1), TraceConfident(rewriter=specs["good"])
    for first, second in ((way, cut), (cut, way)):
        new = second.release(first.release(old, context_of(lm, 2)), context_of(lm, 2))
        for one, other in zip(*(r.tokens.keep(r.channel == Channel.ANSWER) for r in (new, old)), strict=True):
            np.testing.assert_array_equal(one, other)
        assert len(new.channel) == len(new.tokens.values) == len(new.logprob)


def test_a_rewriter_is_part_of_what_is_prepared_and_of_the_configuration(specs):
    defense = TraceConfident(rewriter=specs["good"])
    assert hooks_of(defense) == ("prepare", "release")
    assert build(describe(defense), Defense, "defense.trace_confident") == defense
    assert preparation_of(defense) != preparation_of(TraceConfident(rewriter=specs["cuts"]))
    one, other = (Paraphrase(alpha, rewriter=specs["good"]) for alpha in (0.1, 0.9))
    assert preparation_of(one) == preparation_of(other)
    with pytest.raises(ConfigError, match="instruction"):
        TraceConfident(rewriter=specs["good"], instruction=" ")
