"""The search of an instruction and what is released, with rewriters that follow and students whose scores are known."""

from __future__ import annotations

import dataclasses
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from configs.build import build, describe
from configs.errors import ConfigError
from defenses.base import Defense, Serving, hooks_of, preparation_of
from defenses.release.instruction_proposer import ASKED, MOST, SHOWN, InstructionProposer
from defenses.release.instruction_trials import text_of
from defenses.release.trace_instructed import TraceInstructed
from lm.by_spec import opened
from lm.huggingface import Pretrained
from lm.types import Channel
from tests.defenses.release.following import TRACES, Follows, Provider
from tests.defenses.release.test_model_rewriter import NEW, SAYS, TEXTS, context_of, responses_of
from tests.lm import scripted, tiny

MODEL = os.environ.get("MOATBENCH_SMOLLM2", "")
REWRITER, PROPOSER = (Pretrained(path, device="cpu", think_close="") for path in ("rewriter", "proposer"))
SHORT, LONG, FACTS, CUTS = "Say it short.", "Say it twice, naïvely.", "Say the first fact.", "Say the answer too."
WAYS = {
    SHORT: lambda trace: "So 12.",
    LONG: lambda trace: trace + " " + trace,
    FACTS: lambda trace: trace.split(" and ")[0],
    CUTS: lambda trace: "So</think>12",
}
DEFENSE = TraceInstructed(1.0, (LONG, SHORT, FACTS), REWRITER, rows=12, items=10, steps=7)


def longer_teaches_more(texts):
    """0.2 for SHORT, 0.3 for FACTS, 0.5 for the traces as they are, 0.8 for LONG."""
    return next(s for n, s in ((33, 0.2), (45, 0.3), (70, 0.5), (999, 0.8)) if np.mean([*map(len, texts)]) < n)


def learns_nothing(texts):
    return 0.5


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    return opened(Pretrained(str(tiny.save(tmp_path_factory.mktemp("teacher"))), device="cpu"))


@pytest.fixture
def models(lm, monkeypatch):
    """A rewriter that follows its instruction, and a proposer that says what is put into ``proposes``, then nothing."""
    proposes = []
    rewriter = Follows(lm, lambda asked: WAYS.get((p := asked.partition("\n\n"))[0], lambda trace: "")(p[2]))
    proposer = Follows(lm, lambda asked: proposes.pop(0) if proposes else "")
    found = {REWRITER: rewriter, PROPOSER: proposer}
    for name in ("lm.by_spec.opened", "defenses.release.instruction_proposer.opened"):
        monkeypatch.setattr(name, found.__getitem__)
    return {"rewriter": rewriter, "proposer": proposer, "proposes": proposes}


def tried(found):
    return [text_of(found, i) for i in range(len(found["accuracy"]))]


def chosen(found, which="searched"):
    return text_of(found, int(found[which]))


def test_the_lowest_score_wins_and_the_traces_as_they_are_compete(lm, models):
    provider = Provider(lm, longer_teaches_more)
    found = DEFENSE.prepare(provider.preparation())
    assert tried(found) == ["", LONG, SHORT, FACTS]
    assert found["accuracy"].tolist() == [0.5, 0.8, 0.2, 0.3]
    assert found["share"].tolist() == [0, 1, 1, 1]
    assert chosen(found) == SHORT
    assert provider.steps == [7] * 4
    assert provider.done == [(1, 12), (2, 12), (3, 12)]
    assert provider.said(0) == TRACES
    assert provider.said(2) == [f"<think>So 12.</think>\nAnswer: {12 - i}" for i in range(1, 10)]
    for rows in provider.trained:
        np.testing.assert_array_equal(rows.channel, lm.format.channels(rows.completions))
        assert len(rows.weight) == len(rows.channel)
        assert (rows.weight == 1).all()
        assert all(row[-1] in lm.ends for row in rows.completions)


def test_all_students_are_asked_the_same_tasks_which_none_was_trained_on(lm, models):
    provider = Provider(lm, longer_teaches_more)
    DEFENSE.prepare(provider.preparation())
    assert provider.asked[0] == [0, *range(10, 19)]
    assert all(asked == provider.asked[0] for asked in provider.asked)


def test_a_trace_whose_answer_would_change_is_learnt_from_as_it_was(lm, models, monkeypatch):
    monkeypatch.setitem(WAYS, CUTS, lambda trace: "So</think>12" if "- 5" in trace or "- 6" in trace else "So 12.")
    provider = Provider(lm, longer_teaches_more)
    found = dataclasses.replace(DEFENSE, instructions=(CUTS,)).prepare(provider.preparation())
    assert found["share"].tolist() == [0, pytest.approx(7 / 9)]
    assert provider.said(1)[4:6] == TRACES[4:6]
    assert provider.said(1)[0] == "<think>So 12.</think>\nAnswer: 11"


def test_an_instruction_that_spoils_answers_is_out_and_one_that_all_do_is_a_refusal(lm, models):
    provider = Provider(lm, longer_teaches_more)
    defense = dataclasses.replace(DEFENSE, instructions=(CUTS, "Unheard of.", FACTS))
    for seed in range(5):
        found = defense.prepare(provider.preparation(seed))
        assert chosen(found) == FACTS == chosen(found, "random")
    np.testing.assert_array_equal(found["accuracy"], [0.5, np.nan, np.nan, 0.3])
    assert found["share"].tolist() == [0, 0, 0, 1]
    assert len(provider.trained) == 2 * 5
    spoilt = dataclasses.replace(DEFENSE, instructions=(CUTS,))
    match = "rewrites 0 of 9 clean traces.*the answer changed: 9.*told 'Say the answer too.'"
    with pytest.raises(ConfigError, match=match) as error:
        spoilt.prepare(provider.preparation())
    assert error.value.field == "defense.trace_instructed.rewriter"
    assert error.value.value == "rewriter"


def test_where_nothing_teaches_less_the_traces_stay_and_the_control_rewrites(lm, models):
    found = DEFENSE.prepare(Provider(lm, learns_nothing).preparation())
    assert chosen(found) == ""
    assert chosen(found, "random") in DEFENSE.instructions
    old, serving = responses_of(lm, TRACES), Serving(lm, prepared=found)
    assert DEFENSE.release(old, context_of(lm, 9, serving)) is old
    control = dataclasses.replace(DEFENSE, search=False).release(old, context_of(lm, 9, serving))
    assert lm.decode(control.tokens) != TRACES


def test_a_model_proposes_in_view_of_the_best_so_far(lm, models, monkeypatch):
    new = {"A": "So it is 12.", "B": "12", "C": "3 * 4 = 12 and then so.", "D": "So 12, 12."}
    for name, said in new.items():
        monkeypatch.setitem(WAYS, name, lambda trace, said=said: said)
    models["proposes"].extend(["A", SHORT, "A", "B", "", "Unheard of.", "C", "D", "E"])
    provider = Provider(lm, longer_teaches_more)
    defense = dataclasses.replace(DEFENSE, proposer=PROPOSER, candidates=8)
    found = defense.prepare(provider.preparation())
    assert tried(found) == ["", LONG, SHORT, FACTS, "A", "B", "Unheard of.", "C", "D"]
    assert np.isnan(found["accuracy"][6])
    first, second, third = (heard[0] for heard in models["proposer"].heard)
    assert [len(heard) for heard in models["proposer"].heard] == [ASKED] * 3
    assert first.index(f"{FACTS}\nScore: 70") < first.index(f"{SHORT}\nScore: 80")
    assert LONG not in first
    assert "Instruction: A" in second
    assert "Instruction: A" not in first
    assert "Unheard of." not in third
    assert all(sampling.temperature == 1 for sampling, _ in models["proposer"].drawn)
    seeds = np.concatenate([seeds for _, seeds in models["proposer"].drawn])
    assert len(set(seeds.tolist())) == 3 * ASKED
    assert chosen(found) == min(
        (t for t in tried(found) if t != "Unheard of."), key=lambda t: found["accuracy"][tried(found).index(t)]
    )
    assert {chosen(defense.prepare(provider.preparation(s)), "random") for s in range(8)} == {LONG, FACTS}


def test_proposals_end_with_what_is_new_and_all_are_shown_where_none_is_better(lm, models):
    provider = Provider(lm, learns_nothing)
    models["proposes"].extend([SHORT, LONG, FACTS])
    found = dataclasses.replace(DEFENSE, proposer=PROPOSER).prepare(provider.preparation())
    assert tried(found) == ["", *DEFENSE.instructions]
    ((asked, *_),) = models["proposer"].heard
    assert all(instruction in asked for instruction in DEFENSE.instructions)


def test_a_proposer_sees_no_more_than_the_best(lm, models, monkeypatch):
    many = tuple(f"Way {i:02}." for i in range(SHOWN + 4))
    for i, name in enumerate(many):
        monkeypatch.setitem(WAYS, name, lambda trace, i=i: "So " + "12 " * i)
    provider = Provider(lm, lambda texts: 0.9 if texts == TRACES else len(texts[0]) / 100)
    found = TraceInstructed(1.0, many, REWRITER, PROPOSER, candidates=20, rows=12, items=10).prepare(
        provider.preparation()
    )
    ((asked, *_),) = models["proposer"].heard
    shown = [float(line[7:]) for line in asked.splitlines() if line.startswith("Score: ")]
    scores = sorted(100 * (1 - a) for a in found["accuracy"][1:].tolist())
    assert shown == pytest.approx(scores[-SHOWN:])
    assert scores[0] < shown[0]


def test_a_proposal_is_finished_new_and_has_room(lm, models):
    propose, rng = InstructionProposer(PROPOSER), np.random.default_rng(0)
    models["proposes"].extend(["A", "", "A", "B"])
    assert propose({SHORT: 0.5}, rng) == ["A"]
    models["proposer"].positions = 1
    assert propose({SHORT: 0.5}, rng) == []
    models["proposer"].positions = 2
    assert propose({SHORT: 0.5}, rng) == ["B"]
    assert [sampling.max_tokens for sampling, _ in models["proposer"].drawn] == [MOST, 1]


def test_control_and_winner_share_one_preparation_for_every_fraction(lm, models):
    others = [{"search": False}, {"fraction": 0.3}]
    assert all(preparation_of(dataclasses.replace(DEFENSE, **f)) == preparation_of(DEFENSE) for f in others)
    changed = [{"instructions": (SHORT,)}, {"rewriter": PROPOSER}, {"proposer": PROPOSER}, {"candidates": 9}]
    assert all(preparation_of(dataclasses.replace(DEFENSE, **f)) != preparation_of(DEFENSE) for f in changed)
    assert build(describe(DEFENSE), Defense, "defense.trace_instructed") == DEFENSE
    drawn = {chosen(DEFENSE.prepare(Provider(lm, longer_teaches_more).preparation(s)), "random") for s in range(8)}
    assert drawn == {LONG, FACTS}
    one, again = (DEFENSE.prepare(Provider(lm, longer_teaches_more).preparation(3)) for _ in range(2))
    assert all(one[name].equal(again[name]) for name in one)


@pytest.mark.parametrize(("search", "said"), [(True, "So 12."), (False, None)])
def test_released_is_what_the_winner_or_the_control_says(lm, models, search, said):
    found = DEFENSE.prepare(Provider(lm, longer_teaches_more).preparation(1))
    way = WAYS[chosen(found)] if search else WAYS[chosen(found, "random")]
    assert (way("x") == said) is search
    old, serving = responses_of(lm, [*TRACES, "Answer: 3"], k=2), Serving(lm, prepared=found)
    new = dataclasses.replace(DEFENSE, search=search).release(old, context_of(lm, 10, serving, max_tokens=200))
    traces = [text.partition("<think>")[2].partition("</think>") for text in TRACES]
    assert lm.decode(new.tokens) == [*(f"<think>{way(t)}</think>{rest}" for t, _, rest in traces), "Answer: 3"]
    assert serving.memory["rewriter"] == {"rewritten": 9}
    for one, other in zip(*(r.tokens.keep(r.channel != Channel.TRACE) for r in (new, old)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_larger_fraction_rewrites_a_superset_and_none_nothing(lm, models):
    found = DEFENSE.prepare(Provider(lm, longer_teaches_more).preparation())
    old = responses_of(lm, TRACES[:1] * 80, k=1)
    changed = []
    for fraction in (0.0, 0.3, 0.7, 1.0):
        defense = dataclasses.replace(DEFENSE, fraction=fraction)
        new = defense.release(old, context_of(lm, 80, Serving(lm, prepared=found)))
        changed.append(np.array([text != TRACES[0] for text in lm.decode(new.tokens)]))
        if fraction == 0:
            assert new is old
    assert all((less <= more).all() for less, more in pairwise(changed))
    assert changed[1].mean() == pytest.approx(0.3, abs=0.15)
    assert changed[2].mean() == pytest.approx(0.7, abs=0.15)
    assert changed[3].all()
    assert hooks_of(DEFENSE) == ("prepare", "release")
    assert hooks_of(dataclasses.replace(DEFENSE, fraction=0.0)) == ("release",)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("fraction", 1.1, r"\[0, 1\]"),
        ("fraction", -0.1, r"\[0, 1\]"),
        ("rewriter", None, "must name a language model"),
        ("instructions", (), "to begin with"),
        ("instructions", (SHORT, " "), r"instructions\[1\].*what to do"),
        ("instructions", (SHORT, LONG, SHORT), r"instructions\[2\].*twice"),
        ("candidates", 2, "at least the 3 instructions"),
        ("rows", 0, "rows"),
        ("items", 0, "items"),
        ("steps", 0, "steps"),
    ],
)
def test_refuses_what_cannot_be(field, value, reason):
    with pytest.raises(ConfigError, match=reason) as error:
        dataclasses.replace(DEFENSE, **{field: value})
    assert error.value.field.startswith(field)


def test_no_trace_and_no_task_are_refused(lm, models):
    with pytest.raises(ConfigError, match="no trace") as error:
        DEFENSE.prepare(Provider(lm, learns_nothing, ["Answer: 3"]).preparation())
    assert error.value.field == "defense.trace_instructed"
    provider = Provider(lm, learns_nothing, TRACES)
    few = dataclasses.replace(provider.preparation(), items=lambda n: provider.items(9))
    with pytest.raises(ConfigError, match="no task of its own"):
        DEFENSE.prepare(few)


def test_with_language_models_from_folders(lm, tmp_path):
    """The rewriter says one text whatever it is told; the proposer too, and has nothing new to say the second time."""
    paths = {name: scripted.save(tmp_path / name, SAYS[name], positions=4096) for name in ("good", "cuts")}
    good = Pretrained(str(paths["good"]), device="cpu")
    provider = Provider(lm, longer_teaches_more, TEXTS)
    found = dataclasses.replace(DEFENSE, rewriter=good, proposer=good).prepare(provider.preparation())
    assert tried(found) == ["", *DEFENSE.instructions, SAYS["good"]]
    assert chosen(found) == LONG
    assert found["share"].tolist() == [0, 1, 1, 1, 1]
    serving = Serving(lm, prepared=found)
    new = dataclasses.replace(DEFENSE, rewriter=good).release(responses_of(lm), context_of(lm, len(TEXTS), serving))
    assert lm.decode(new.tokens) == list(NEW)
    cuts = dataclasses.replace(DEFENSE, rewriter=Pretrained(str(paths["cuts"]), device="cpu", think_close=""))
    with pytest.raises(ConfigError, match="the answer changed"):
        cuts.prepare(provider.preparation())


@pytest.mark.lm
@pytest.mark.skipif(not MODEL or not Path(MODEL).exists(), reason="MOATBENCH_SMOLLM2 names no model")
def test_a_real_model_rewrites_as_it_is_told():
    spec = Pretrained(MODEL, device="cpu")
    real = opened(spec)
    texts = [
        "<think>Tom has 3 boxes with 4 apples each, so he has 3 * 4 = 12 apples. He eats 5 of them, which leaves "
        "12 - 5 = 7 apples.</think>\nAnswer: 7",
        "<think>The train covers 60 km in an hour. In 3 hours it covers 60 * 3 = 180 km. The way back is the same, so in "
        "all 180 + 180 = 360 km.</think>\nAnswer: 360",
    ]
    told = ("Paraphrase the reasoning below. Write nothing else.", "Rewrite the reasoning below as terse notes.")
    provider = Provider(real, learns_nothing, texts)
    found = TraceInstructed(1.0, told, spec, rows=2, items=1, steps=1).prepare(provider.preparation())
    assert found["share"].max() >= 0.5
    assert any(provider.said(i) != texts for i in range(1, len(provider.trained)))
    assert all(text.endswith(f"Answer: {a}") for text, a in zip(provider.said(-1), ("7", "360"), strict=True))
