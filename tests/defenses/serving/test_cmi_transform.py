from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from configs.errors import ConfigError
from defenses.base import Preparation, Serving
from defenses.serving import cmi_transform
from defenses.serving.cmi_transform import CmiTransform, conditional_information, mapped, objective
from defenses.serving.head import HeadStates
from lm.examples import Examples
from lm.ragged import Ragged
from lm.types import Channel, Sampling
from tests.defenses.decoding.models import model
from tests.defenses.serving.test_doge import mixed_traces, own_traces, tied, weights, with_scaled_logits
from tests.lm.mini.tiny import tiny

IDS = torch.tensor([[1, 5, 6, 7], [1, 9, 4, 4]])


def prepared(defense, teacher, rows=mixed_traces, seed=0):
    return defense.prepare(Preparation(teacher, lambda: teacher, rows, np.random.default_rng(seed)))


def served(defense, teacher, rows=mixed_traces):
    return defense.serve(Serving(teacher, prepared=prepared(defense, teacher, rows)))


def drawn(labels, seed, vocabulary=5):
    """Random log-probabilities and shares for these labels."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.1, 1, len(labels))
    logits = torch.from_numpy(rng.normal(0, 3, (len(labels), vocabulary)))
    return logits.log_softmax(-1), torch.tensor(labels), torch.from_numpy(share / share.sum())


def by_label(logp, label, share):
    """The same information, a label at a time, as the entropy of the mean less the mean of the entropies."""
    found = 0
    for y in set(label.tolist()):
        here = label == y
        w = share[here].sum()
        p = logp[here].exp()
        q = (share[here][:, None] * p).sum(0) / w
        found = found - w * (q * q.log()).sum() + (share[here][:, None] * p * logp[here]).sum()
    return found


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(0, 999))
def test_estimate_and_its_gradient_are_those_of_entropies(labels, seed):
    logp, label, share = drawn(labels, seed)
    logp.requires_grad_(True)
    got, expected = conditional_information(logp, label, share), by_label(logp, label, share)
    torch.testing.assert_close(got, expected)
    one, other = (torch.autograd.grad(value, logp)[0] for value in (got, expected))
    through = logp.exp().detach()  # on the simplex: what is the same for all tokens does not count
    torch.testing.assert_close(_tangent(one, through), _tangent(other, through))
    assert -1e-12 <= got.item() <= np.log(5)


def _tangent(gradient, p):
    """Gradient by logits from that by log-probabilities."""
    return gradient - p * gradient.sum(-1, keepdim=True)


def test_information_is_none_where_a_label_says_it_all_and_all_where_it_says_nothing():
    sure = torch.eye(4).clamp_min(1e-30).log()
    shares = torch.full((4,), 0.25)
    assert conditional_information(sure, torch.arange(4), shares).item() == pytest.approx(0, abs=1e-6)
    assert conditional_information(sure, torch.zeros(4, dtype=torch.int64), shares).item() == pytest.approx(np.log(4))
    gone = torch.tensor([[0.0, -1e4], [0.0, -1e4]])  # a token that nobody can say
    assert conditional_information(gone, torch.zeros(2, dtype=torch.int64), torch.full((2,), 0.5)).item() == 0


def with_bias(seed=1):
    lm = model(seed=seed)
    head = torch.nn.Linear(16, 24)
    with torch.no_grad():
        head.weight.copy_(lm.model.get_output_embeddings().weight)
        head.bias.copy_(torch.linspace(-2, 2, 24))
    lm.model.set_output_embeddings(head.requires_grad_(False))
    return lm


@pytest.mark.parametrize("rank", [0, 3])
@pytest.mark.parametrize(
    "teacher", [model(seed=1), tied(), with_bias(), tiny(3)], ids=["llama", "tied", "bias", "mini"]
)
def test_folded_map_gives_the_logits_of_a_map_after_the_model(teacher, rank):
    before, logits = weights(teacher), teacher.model(IDS).logits.detach()
    defense = CmiTransform(1.0, rank, steps=10, lr=0.05, batch=4, traces=8)
    factors = prepared(defense, teacher, own_traces(teacher))
    assert set(factors) == ({"left", "right"} if rank else {"left"})
    lm = defense.serve(Serving(teacher, prepared=factors))
    matrix = torch.eye(logits.shape[-1]) + (factors["left"] @ factors["right"] if rank else factors["left"])
    expected = torch.einsum("VW,BTW->BTV", matrix, logits)
    torch.testing.assert_close(lm.model(IDS).logits, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(mapped(factors, logits), expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(expected, logits, atol=0.1)
    assert {name: p for name, p in weights(teacher).items() if not torch.equal(p, before[name])} == {}
    assert torch.equal(lm.model.get_input_embeddings().weight, teacher.model.get_input_embeddings().weight)


@pytest.mark.parametrize("teacher", [model(seed=1), with_bias()])
def test_objective_and_gradient_are_those_of_the_whole_model(teacher):
    rows, chosen = mixed_traces(9), np.array([7, 0, 4, 2])
    left = torch.from_numpy(np.random.default_rng(2).normal(0, 0.1, (24, 24)).astype(np.float32)).requires_grad_(True)
    loss, information = objective(HeadStates.of(teacher, rows), {"left": left}, chosen)
    got = torch.autograd.grad(loss + 0.7 * information, left)[0]
    logp, label, weight = [], [], []
    starts = rows.completions.offsets
    for i in chosen:
        prompt, said = (list(ragged)[i].tolist() for ragged in (rows.prompts, rows.completions))
        logits = teacher.model(torch.tensor([prompt + said])).logits[0].detach()
        for j, token in enumerate(said):
            if rows.weight[starts[i] + j] > 0:
                logp.append(((torch.eye(24) + left) @ logits[len(prompt) + j - 1]).log_softmax(-1))
                label.append(token)
                weight.append(float(rows.weight[starts[i] + j]))
    logp, label, share = torch.stack(logp), torch.tensor(label), torch.tensor(weight) / sum(weight)
    whole = (share * cross_entropy(logp, label, reduction="none")).sum()
    torch.testing.assert_close(loss, whole)
    torch.testing.assert_close(information, by_label(logp, label, share), atol=1e-5, rtol=1e-5)
    expected = torch.autograd.grad(whole + 0.7 * by_label(logp, label, share), left)[0]
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_tool_results_count_for_nothing():
    rows = mixed_traces(9)
    tool = rows.weight == 0
    assert tool.any()
    said = np.where(tool, 23, rows.completions.values).astype(rows.completions.values.dtype)
    states = HeadStates.of(model(seed=1), rows)
    other = dataclasses.replace(
        states, rows=dataclasses.replace(rows, completions=Ragged(said, rows.completions.offsets))
    )
    zero = {"left": torch.zeros(24, 24)}
    assert torch.equal(
        torch.stack(objective(states, zero, np.arange(9))), torch.stack(objective(other, zero, np.arange(9)))
    )


def greedy_traces(teacher):
    """What the teacher finds likeliest, so that it is right about every label."""

    def most(n):
        rows = own_traces(teacher)(n)
        said = teacher.generate(rows.prompts, Sampling(max_tokens=8, temperature=0), np.arange(n)).tokens
        total = len(said.values)
        trace, ones = np.full(total, Channel.TRACE, np.uint8), np.ones(total, np.float32)
        return Examples(rows.prompts, said, trace, ones, np.full(n, -1, np.int64), np.zeros(n, bool))

    return most


@torch.no_grad()
def measured(lm, rows):
    """Share of labels that are likeliest, their cross-entropy and the information, of a model on rows."""
    states = HeadStates.of(lm, rows)
    logits = states.head(states.hidden_Nd)
    right = logits.argmax(-1) == torch.from_numpy(rows.completions.values.astype(np.int64))
    zero = {"left": torch.zeros(logits.shape[1], logits.shape[1])}
    return right.double().mean().item(), *(part.item() for part in objective(states, zero, np.arange(len(rows))))


def scaled_up(times):
    """A teacher whose logits are so many times as large."""
    lm = model(seed=1)
    with torch.no_grad():
        lm.model.get_output_embeddings().weight.mul_(times)
    return lm


@pytest.mark.parametrize("rank", [0, 8])
def test_information_falls_by_the_strength_and_labels_stay(rank):
    teacher = scaled_up(8)  # one that is sure of what it says, as trained ones are
    rows = greedy_traces(teacher)
    settings = [CmiTransform(lam, rank, steps=60, lr=0.001, traces=128) for lam in (0.0, 1e-9, 1.0)]
    found = [measured(served(defense, teacher, rows), rows(128)) for defense in settings]
    accuracy, _, information = zip(*found, strict=True)
    assert accuracy[0] == 1
    assert information[2] < 0.97 * information[1], f"by the strength, not because the labels are learnt: {found}"
    assert information[2] < 0.85 * information[0], found
    assert min(accuracy) > 0.95, found


def test_no_strength_changes_nothing():
    teacher = model(seed=1)
    assert prepared(CmiTransform(0.0), teacher) == {}
    assert CmiTransform(0.0).serve(Serving(teacher)) is teacher


@pytest.mark.parametrize("rank", [0, 4])
def test_preparation_is_a_function_of_its_generator(rank):
    defense = CmiTransform(1.0, rank, steps=5, batch=2, traces=8)
    first, again, other = (prepared(defense, model(seed=1), seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["left"], other["left"])


def test_starts_at_the_identity():
    defense = CmiTransform(1.0, 4, steps=1, lr=1e-12)
    teacher = model(seed=1)
    torch.testing.assert_close(served(defense, teacher).model(IDS).logits, teacher.model(IDS).logits)


def test_refuses_what_it_cannot_map(monkeypatch):
    capped = model(seed=1)
    capped.model.forward = with_scaled_logits(capped.model.forward)
    with pytest.raises(ConfigError, match="output layer"):
        prepared(CmiTransform(1.0), capped)
    with pytest.raises(ConfigError, match=r"rank.*at most 24"):
        prepared(CmiTransform(1.0, 25), model())
    with pytest.raises(ConfigError, match="diverge"):
        prepared(CmiTransform(1.0, lr=1e20, steps=5), scaled_up(1e20))
    monkeypatch.setattr(cmi_transform, "WIDEST", 23)
    with pytest.raises(ConfigError, match=r"rank.*at least 1 for 24 tokens"):
        prepared(CmiTransform(1.0), model())
    assert set(prepared(CmiTransform(1.0, 2, steps=1), model())) == {"left", "right"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("lam", -1), ("lam", float("inf")), ("lam", float("nan")), ("rank", -1), ("steps", 0)),
        *(("lr", 0), ("lr", float("inf")), ("batch", 0), ("traces", 0)),
    ],
)
def test_refuses_impossible_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        CmiTransform(**{"lam": 1.0, field: value})
