"""Gradient redirection: exact under the budget, and its gains are what autograd says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from configs.errors import ConfigError
from defenses.base import Preparation
from defenses.decoding.proxy_delta import PerturbedProxy, delta_of
from defenses.release.grad_redirection import GradRedirection, alike, redirected
from defenses.release.student_reading import as_examples
from defenses.release.told import told_of
from lm.directional import holdout_gradient
from tests.defenses.decoding.models import traces
from tests.defenses.release.probs import EPSILONS, check, distributions, everything, lowest
from tests.defenses.release.responses import VOCAB, make, student

PREPARED = GradRedirection(0.5).prepare(Preparation(student(), student, traces, np.random.default_rng(0)))


@settings(max_examples=50)
@given(distributions(), EPSILONS)
def test_no_solver_finds_anything_better(probs, epsilon):
    gain = np.random.default_rng(1).normal(size=probs.shape)
    changed = redirected(probs, gain, everything(probs), epsilon)
    check(probs, changed, epsilon)
    best = gain.argmax(1)
    room = probs.sum(1) - probs[np.arange(len(probs)), best]
    np.testing.assert_allclose(np.abs(changed - probs).sum(1), np.minimum(epsilon, 2 * room), atol=1e-12)
    for y, a, found in zip(probs, gain, changed, strict=True):
        assert a @ found >= -lowest(y, -a, epsilon) - 1e-7


def test_worst_first_and_nothing_to_what_is_not_there():
    probs, gain = np.array([[0.1, 0.3, 0.6, 0.0]]), np.array([[1.0, -1.0, 0.0, 5.0]])
    there = np.array([[True, True, True, False]])
    np.testing.assert_allclose(redirected(probs, gain, there, 0.4), [[0.3, 0.1, 0.6, 0]], atol=1e-15)
    np.testing.assert_allclose(redirected(probs, gain, there, 1.0), [[0.6, 0, 0.4, 0]], atol=1e-15)


def test_gains_of_reverse_are_those_of_double_backpropagation():
    """a = ∂⟨Gᵀy, z⟩/∂y at z = −Gᵀy, of an output layer by autograd, up to the factor ‖h‖² and what is common to all."""
    rng = torch.Generator().manual_seed(0)
    hidden, start, weight = (torch.randn(*size, generator=rng, dtype=torch.float64) for size in ((6,), (9,), (9, 6)))
    q = torch.softmax(weight.requires_grad_(True) @ hidden, -1)
    y = torch.softmax(start, -1).requires_grad_(True)
    (towards,) = torch.autograd.grad((y * q.log()).sum(), weight, create_graph=True)
    (gain,) = torch.autograd.grad((towards * -towards.detach()).sum(), y)
    closed = hidden.square().sum() * (q - y)
    torch.testing.assert_close(gain - gain.mean(), (closed - closed.mean()).detach(), atol=1e-10, rtol=1e-8)


def test_delta_of_texts_is_delta_of_the_next_token():
    responses, context = make(n=6, k=VOCAB)
    direction = {name.removeprefix("grad."): g for name, g in PREPARED.items()}
    perturbed = PerturbedProxy(student(), direction, 0.1)
    rows = as_examples(responses, context())
    found, at = delta_of(perturbed, student(), rows), 0
    for prompt, row in zip(rows.prompts, rows.completions, strict=True):
        for place in range(len(row)):
            ids = torch.tensor(np.array([[*prompt, *row[:place]]], np.int64))
            np.testing.assert_allclose(found[at], perturbed.next_token(ids)[0].numpy(), atol=1e-3)
            at += 1


def test_whoever_trains_on_what_is_sold_unlearns_the_clean_traces():
    """By exact derivatives of the student's whole loss: the change that a step on y' makes, less that of a step on y."""
    responses, context = make(n=6, k=VOCAB)
    released = GradRedirection(0.5).release(responses, context(prepared=PREPARED))
    holdout = holdout_gradient(student(), traces(512))
    model = student().model
    told, sold = told_of(responses), told_of(released)
    rows, better = as_examples(responses, context()), 0
    for row in range(3):
        prompt, text = rows.prompts[row], rows.completions[row]
        logits = model(torch.tensor(np.array([[*prompt, *text]], np.int64))).logits[0, len(prompt) - 1 : -1]
        logprobs = torch.log_softmax(logits, -1)
        moved = torch.zeros_like(logprobs)
        start = int(rows.completions.offsets[row])
        for place in range(len(text)):
            for one, sign in ((sold, 1.0), (told, -1.0)):
                at = np.flatnonzero(one.place == start + place)
                for ids, probs in zip(one.ids[at], one.probs[at], strict=True):
                    moved[place, ids[ids >= 0]] += sign * torch.tensor(probs[ids >= 0], dtype=torch.float32)
        names, parameters = zip(*[(n, p.requires_grad_(True)) for n, p in model.named_parameters()], strict=True)
        step = torch.autograd.grad((moved * logprobs).sum(), parameters)
        better += float(sum((holdout[n] * g).sum() for n, g in zip(names, step, strict=True))) > 0
    assert better == 3


def test_gains_of_ones_are_the_sums_of_gradients():
    """a_i = ⟨∇ log q_i, 1⟩ by autograd, token by token of one text; what is sold is what is best for those."""
    responses, context = make(n=6, k=VOCAB)
    model, told, rows = student().model.requires_grad_(True), told_of(responses), as_examples(responses, context())
    direction = alike(student())
    assert sum(float(g.double().square().sum()) for g in direction.values()) == pytest.approx(1, abs=1e-5)
    assert len({float(entry) for g in direction.values() for entry in g.reshape(-1)[:3]}) == 1
    gain, parameters = np.zeros(told.probs.shape), list(model.parameters())
    for place in range(int(rows.completions.offsets[1])):
        ids = torch.tensor(np.array([[*rows.prompts[0], *rows.completions[0][:place]]], np.int64))
        logprobs = torch.log_softmax(model(ids).logits[0, -1], -1)
        for at in np.flatnonzero(told.place == place):
            for column in np.flatnonzero(told.listed[at]):
                one = logprobs[int(told.ids[at, column])]
                slope = torch.autograd.grad(one, parameters, retain_graph=True)
                gain[at, column] = float(sum(g.sum() for g in slope))
    wanted = redirected(told.probs, gain, told.listed, 0.5)
    released = told_of(GradRedirection(0.5, "ones", step=0.01).release(responses, context()))
    of_token = [np.zeros((len(told.place), VOCAB)) for _ in range(2)]
    for dense, ids, probs in zip(of_token, (told.ids, released.ids), (wanted, released.probs), strict=True):
        for line, own, values in zip(dense, ids, probs, strict=True):
            line[own[own >= 0]] = values[own >= 0]
    alike_T = np.isclose(*of_token, atol=1e-5).all(1)[told.place < rows.completions.offsets[1]]
    assert len(alike_T) > 3
    assert alike_T.mean() > 0.8, "all but near ties"


def test_identity_at_0_what_is_prepared_and_what_is_refused():
    responses, context = make(k=VOCAB)
    assert GradRedirection(0.0).release(responses, context()) is responses
    for target in ("ones", "reverse"):
        assert GradRedirection(0.5, target).prepare(Preparation(None, None, None, None)) == {}
    for wrong in (
        {"epsilon": 2.1},
        {"epsilon": 1.0, "target": "x"},
        {"epsilon": 1.0, "step": 0.0},
        {"epsilon": 1.0, "traces": 0},
    ):
        with pytest.raises(ConfigError):
            GradRedirection(**wrong)
