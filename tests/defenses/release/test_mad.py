"""MAD: the closed form of G against autograd, the best vertex against all of them, order kept, the control."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from configs.errors import ConfigError
from defenses.release.mad import MAD, cosines, not_the_first, spread_target, vertex_target
from defenses.release.student_reading import require_same_tokens, student_probs
from defenses.release.told import towards
from lm.types import Channel
from tests.defenses.release.probs import EPSILONS, check, distributions, everything
from tests.defenses.release.responses import VOCAB, make, student


def of_student(probs, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(probs.shape[1]), len(probs))


def test_g_is_that_of_the_output_layer_by_autograd():
    """With a bias too, which the closed form says nothing of."""
    rng = torch.Generator().manual_seed(0)
    hidden, start = (torch.randn(*size, generator=rng, dtype=torch.float64) for size in ((6,), (9,)))
    head = torch.nn.Linear(6, 9).double()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.normal_(generator=rng)
    logprobs = torch.log_softmax(head(hidden), -1)
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(one, head.parameters(), retain_graph=True)])
        for one in logprobs
    ]
    g_VD, y = torch.stack(rows), torch.softmax(start, -1)
    exact = torch.cosine_similarity(g_VD, (g_VD.T @ y)[None], dim=1)
    closed = cosines(y.numpy()[None], logprobs.exp().detach().numpy()[None], np.zeros(1))
    np.testing.assert_allclose(closed[0], exact.detach().numpy(), atol=1e-12)


def test_the_student_is_read_after_the_visible_text():
    responses, context = make(n=4, k=VOCAB)
    found = student_probs(student(), responses, context())
    own = context().prompts.tokens.take(context().requests.prompt[responses.request])
    at = 0
    for prompt, row in zip(own, responses.tokens, strict=True):
        logits = student().model(torch.tensor(np.array([[*prompt, *row]], np.int64))).logits[0]
        whole = torch.softmax(logits[len(prompt) - 1 : -1], -1).detach().numpy()
        np.testing.assert_allclose(found[at : at + len(row)], whole, atol=1e-5)
        at += len(row)


@settings(max_examples=30)
@given(distributions(6), EPSILONS)
def test_the_vertex_has_the_largest_angle_and_the_bound_is_met(probs, epsilon):
    q, rest = of_student(probs), 1 - probs.sum(1)
    target = vertex_target(probs, q, everything(probs), rest)
    changed = towards(probs, target, epsilon)
    check(probs, changed, epsilon)
    for y, own, beyond, t in zip(probs, q, rest, target, strict=True):
        whole, last = np.append(y, beyond), np.append(own, 0.0)
        if np.linalg.norm(whole - last) < 1e-6:  # the student says what is true: no direction, and no angle to it
            continue

        def angle(v, whole=whole, last=last):
            a, b = v - last, whole - last
            return 1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b))

        vertices = [np.append(y.sum() * np.eye(len(y))[i], beyond) for i in range(len(y))]
        assert angle(np.append(t, beyond)) >= max(map(angle, vertices)) - 1e-9


@settings(max_examples=30)
@given(distributions(6), EPSILONS)
def test_with_keep_argmax_the_first_stays_first(probs, epsilon):
    target = spread_target(probs, of_student(probs), everything(probs), 1 - probs.sum(1))
    changed = towards(probs, target, epsilon)
    check(probs, changed, epsilon)
    top = probs.argmax(1)
    assert (changed[np.arange(len(top)), top] >= changed.max(1) - 1e-12).all()


def test_the_greedy_set_is_nearly_the_best_of_all_sets():
    rng = np.random.default_rng(0)
    reached = []
    for _ in range(40):
        y, q = rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(7))

        def cos(v, y=y, q=q):
            return (v - q) @ (y - q) / (np.linalg.norm(v - q) * np.linalg.norm(y - q))

        others = [i for i in range(7) if i != y.argmax()]
        sets = [[y.argmax(), *c] for n in range(1, 7) for c in itertools.combinations(others, n)]
        best = min(cos(np.isin(np.arange(7), s) / len(s)) for s in sets)
        found = spread_target(y[None], q[None], np.ones((1, 7), bool), np.zeros(1))[0]
        reached.append((1 - cos(found)) / (1 - best))
    assert np.mean(reached) > 0.97
    assert max(reached) <= 1 + 1e-9


def test_the_control_takes_any_token_but_the_first_and_anew():
    probs = np.tile([0.1, 0.6, 0.3, 0.0], (3000, 1))
    there = probs > 0
    drawn = not_the_first(probs, there, np.random.default_rng(0))
    assert set(drawn) == {0, 2}
    assert abs((drawn == 0).mean() - 0.5) < 0.05
    responses, context = make(k=VOCAB)
    one, other = (MAD(0.5, choice="random").release(responses, context(seed)) for seed in (0, 1))
    assert not np.array_equal(one.top_ids, other.top_ids)


def test_identity_at_0_and_what_is_refused():
    responses, context = make(k=VOCAB)
    assert MAD(0.0).release(responses, context()) is responses
    top = MAD(1.2, keep_argmax=True).release(responses, context()).top_ids[:, 0]
    shown = responses.channel != Channel.TOOL
    np.testing.assert_array_equal(top[shown], responses.top_ids[shown, 0])
    for wrong in (
        {"epsilon": -1.0},
        {"epsilon": 1.0, "choice": "x"},
        {"epsilon": 1.0, "choice": "random", "keep_argmax": True},
    ):
        with pytest.raises(ConfigError):
            MAD(**wrong)
    with pytest.raises(ConfigError, match=r"defense\.mad = '2 tokens in the student': needs .*tokenizer \(1 tokens\)"):
        require_same_tokens("mad", ("a",), ("a", "b"))
