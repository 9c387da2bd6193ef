"""Reinforcement learning from the attacker's own checker: budget, no signal, gradient's direction, seeds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.compute import Compute
from attacks.own_samples import Anchor, checkable, draw, reinforced, rounds
from attacks.refine.rl import RL
from configs.errors import ConfigError
from configs.identity import identity
from lm.ragged import Ragged
from lm.types import Sampling
from tests.attacks.refine_world import TEXTS, refine_context, weights
from tests.lm.mini.tiny import tiny

torch.set_num_threads(1)
LM = tiny(3)
TOKEN = 30
WORD = LM.decode(Ragged.of([[TOKEN]]))[0]


def first_is(word):
    """Right where the response begins with this word."""
    return lambda item, text: text.split()[:1] == [word]


def said(lm):
    """Probability of the token as the first of a response, mean over prompts."""
    first = lm.score(lm.encode_prompts(TEXTS), Ragged.of([[TOKEN]] * len(TEXTS)))
    return float(np.exp(first.logprob).mean())


def test_the_rewarded_token_becomes_likely_on_a_bandit():
    student = tiny(3, scale=0.02)
    check = first_is(WORD)
    context = refine_context(check, student=student, max_tokens=1)
    before = said(student)
    found = RL(steps=40, prompts=24, samples=32, lr=5e-3).run(context)
    assert said(found.model) > max(0.9, 5 * before)
    assert found.curve[-1] > 0.8 > found.curve[0]
    assert said(student) == before, "the student given is left as it was"


@pytest.mark.parametrize("answer", [True, False, None])
def test_without_signal_the_student_stays_bit_for_bit(answer):
    context = refine_context(lambda item, text: answer)
    before = weights(context.student)
    found = RL(steps=3, prompts=8, samples=4).run(context)
    assert all(torch.equal(before[name], t) for name, t in weights(found.model).items())
    assert context.compute.steps == 0
    assert len(found.curve) == (0 if answer is None else 3), "families that he cannot check are not drawn from"


@settings(max_examples=20, deadline=None)
@given(samples=st.integers(0, 120), tokens=st.integers(0, 600), steps=st.integers(0, 4))
def test_compute_is_booked_before_and_never_exceeded(samples, tokens, steps):
    allowed = Compute(samples, tokens, steps)
    context = refine_context(lambda item, text: len(text) % 2 == 0, allowed)
    drawn = []
    generate = type(LM).generate

    def watched(lm, prompts, sampling, seeds, *rest, **kwargs):
        found = generate(lm, prompts, sampling, seeds, *rest, **kwargs)
        drawn.append((len(prompts), len(found.tokens.values)))
        assert sum(n for n, _ in drawn) <= context.compute.samples, "booked by now"
        assert sum(t for _, t in drawn) <= context.compute.tokens <= tokens
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(LM), "generate", watched)
        RL(steps=6, prompts=5, samples=3).run(context)
    spent = context.compute
    assert (spent.samples, spent.tokens) == (sum(n for n, _ in drawn), sum(t for _, t in drawn))
    assert spent.samples <= samples
    assert spent.tokens <= tokens
    assert spent.steps <= steps


def test_same_seed_same_weights_and_another_seed_others():
    def run(seed):
        context = refine_context(lambda item, text: len(text) % 2 == 0, seed=seed)
        return weights(RL(steps=3, prompts=6, samples=4).run(context).model)

    one, again, other = run(0), run(0), run(1)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_only_checkable_prompts_of_the_named_families_are_drawn():
    family = ["chain", "code", "facts"] * 8
    context = refine_context(lambda item, text: None if family[item] == "facts" else bool(item % 2), family=family)
    assert {family[i] for i in checkable(context)} == {"chain", "code"}
    assert {family[i] for i in checkable(context, ("code", "facts"))} == {"code"}
    with pytest.raises(ConfigError, match=r"families = 'cod': .*code"):
        checkable(context, ("cod",))


def test_each_prompt_comes_once_before_any_comes_again():
    items = np.arange(10, 20)
    batches = rounds(items, 4, np.random.default_rng(0))
    flat = [next(batches) for _ in range(5)]
    assert sorted(np.concatenate(flat)[:10].tolist()) == items.tolist()
    assert all(len(set(batch.tolist())) == 4 for batch in flat)
    assert len(next(rounds(items, 64, np.random.default_rng(0)))) == 10


def test_own_samples_are_grouped_and_what_was_not_drawn_is_left():
    context = refine_context(lambda item, text: item == 5)
    drawn = draw(context, LM, np.array([5, 2]), 3)
    assert drawn.right.tolist() == [[True] * 3, [False] * 3]
    assert drawn.rows.item.tolist() == [5, 5, 5, 2, 2, 2]
    assert context.compute.tokens == len(drawn.rows.completions.values)
    again = LM.generate(drawn.rows.prompts, Sampling(1.0, 6), np.random.default_rng(0).integers(0, 2**63 - 1, 6))
    assert again.tokens.values.tolist() == drawn.rows.completions.values.tolist()


def test_what_tools_answer_is_not_his_to_pay():
    answered = []

    def tools(rows, generated):
        answered.extend(rows.tolist())
        return [[7, 7, 7]] * len(rows)

    context = replace(refine_context(lambda item, text: True, max_tokens=12), tools=tools)
    drawn = draw(context, LM, np.arange(8), 16)
    assert len(answered) > 3
    assert context.compute.tokens == len(drawn.rows.completions.values) - 3 * len(answered)
    assert set(answered) <= set(range(8)), "tools are run for his items"


def test_rows_near_an_anchor_are_weighed_as_its_formula_says():
    """A − β (1 − ρ) on every token that was said, also where A is 0; as without an anchor at β = 0."""
    context, other = refine_context(lambda item, text: None), tiny(4)
    drawn = draw(context, LM, np.arange(3), 2)
    advantage = np.array([[1.0, -1.0], [0.0, 0.0], [0.5, 0.0]], np.float32)
    plain = reinforced(drawn, advantage)
    assert plain.item.tolist() == [0, 0, 2]
    assert set(plain.weight[plain.completions.row_of_value == 2].tolist()) == {0.5}
    anchor = Anchor(other, 0.3, 0, context.rng)
    rows = reinforced(drawn, advantage, anchor)
    whole = drawn.rows
    ratio = np.exp(other.score(whole.prompts, whole.completions).logprob - drawn.logprob)
    each = advantage.reshape(-1)[whole.completions.row_of_value]
    assert rows.item.tolist() == whole.item.tolist()
    np.testing.assert_allclose(rows.weight, each - 0.3 * (1 - ratio), rtol=1e-4, atol=1e-5)
    assert not len(reinforced(drawn, np.zeros((3, 2), np.float32), anchor)), "no advantage says nothing"


def test_a_group_without_advantages_is_stood_for_by_some_of_its_responses():
    """Those and no others are read by the student, and the step's loss is a mean over all that was said."""
    context, other = refine_context(lambda item, text: None), tiny(4)
    drawn = draw(context, LM, np.arange(3), 4)
    advantage = np.array([[1.0, -1.0, 0.0, 0.0], [0.0] * 4, [0.0] * 4], np.float32)
    full = reinforced(drawn, advantage, Anchor(other, 0.3, 0, context.rng))
    read, score = [], type(other).score
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(other), "score", lambda lm, asked, said: read.append(len(asked)) or score(lm, asked, said))
        rows = reinforced(drawn, advantage, Anchor(other, 0.3, 1, np.random.default_rng(5)))
    assert read == [6]
    assert rows.item.tolist() == [0, 0, 0, 0, 1, 2]
    mean = np.count_nonzero(rows.weight) / np.count_nonzero(full.weight)
    given = {
        said.tobytes(): full.weight[full.completions.row_of_value == at] for at, said in enumerate(full.completions)
    }
    for at, (item, text) in enumerate(zip(rows.item, rows.completions, strict=True)):
        expected = given[text.tobytes()] * (4 if item else 1) * mean
        np.testing.assert_allclose(rows.weight[rows.completions.row_of_value == at], expected, rtol=1e-3, atol=1e-5)


def test_the_anchor_holds_the_policy_near_the_student():
    def moved(kl, kl_samples=0):
        context = refine_context(first_is(WORD), student=tiny(3, scale=0.02), max_tokens=1)
        return said(RL(25, 24, 32, lr=5e-3, kl=kl, kl_samples=kl_samples).run(context).model)

    free = moved(0.0)
    assert free > 0.5
    assert moved(5.0) < free / 3
    assert moved(5.0, kl_samples=4) < free / 3


def test_without_signal_an_anchor_changes_nothing():
    context = refine_context(lambda item, text: False)
    before = weights(context.student)
    found = RL(steps=3, prompts=8, samples=4, kl=0.5).run(context)
    assert all(torch.equal(before[name], t) for name, t in weights(found.model).items())


def test_no_anchor_is_in_no_key():
    assert "kl" not in identity(RL())["fields"]
    assert identity(RL(kl=0.04))["fields"]["kl"] == 0.04
    assert "kl_samples" not in identity(RL(kl=0.04))["fields"]


@pytest.mark.parametrize(
    "field",
    [
        {"samples": 1},
        {"steps": 0},
        {"lr": 0.0},
        {"advantage": "ppo"},
        {"kl": -0.1},
        {"kl_samples": 9},
        {"kl_samples": -1},
    ],
)
def test_impossible_fields_are_refused(field):
    with pytest.raises(ConfigError, match=next(iter(field))):
        RL(**field)
