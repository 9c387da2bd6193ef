"""Reverse KL over bins: an independent float64 form, dense limits, what P leaves empty."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from student.objectives.gkd import GKD
from student.objectives.reverse_topk_kl import ReverseTopKKL
from student.objectives.sft import SFT
from tests.student.objectives.test_objectives import A, R, T, batch_of, log_softmax

torch.set_num_threads(1)


def reference(logits, batch, temperature, floor):
    """The docstring once more, position by position in float64, with sets instead of masks."""
    total = weights = 0.0
    b, t, v = logits.shape
    for i in range(b):
        for j in range(t):
            log_q = log_softmax(logits[i, j].astype(np.float64))
            loss = -log_q[int(batch.target_BT[i, j])]
            sold = {
                int(token): float(np.float64(lp))
                for token, lp in zip(batch.top_ids_BTK[i, j], batch.top_logprobs_BTK[i, j], strict=True)
                if token >= 0 and lp > -np.inf
            }
            if sold:
                p, q = list(np.exp(list(sold.values()))), list(np.exp(log_q[list(sold)]))
                p = [x / max(sum(p), 1.0) for x in p]
                rest = [x for x in range(v) if x not in sold]
                if rest:
                    p.append(1 - sum(p))
                    q.append(np.exp(log_q[rest]).sum())
                p = np.maximum(np.array(p) / sum(p), floor) ** (1 / temperature)
                q = np.array(q) ** (1 / temperature)
                p, q = p / p.sum(), q / q.sum()
                loss = temperature**2 * (q * (np.log(q) - np.log(p))).sum()
            w = float(batch.weight_BT[i, j])
            total, weights = total + w * loss, weights + w
    return total / weights


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    k=st.integers(1, 7),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    floor=st.sampled_from([1e-6, 1e-2]),
    noise=st.sampled_from([0.0, 0.5]),
)
def test_it_agrees_with_an_independent_float64_implementation(seed, k, temperature, floor, noise):
    rng = np.random.default_rng(seed)
    b, t, v = 2, 3, 7
    logits = 3 * rng.standard_normal((b, t, v))
    teacher = log_softmax(2 * rng.standard_normal((b, t, v)))
    ids = np.argsort(-teacher, -1)[..., :k]
    logprobs = np.take_along_axis(teacher, ids, -1) + noise * rng.standard_normal((b, t, k))
    missing = rng.random((b, t, k)) < 0.2
    ids, logprobs = np.where(missing, -1, ids), np.where(missing, -np.inf, logprobs)
    batch = batch_of(rng.integers(0, v, (b, t)).tolist(), rng.choice([T, R, A], (b, t)).tolist(), ids, logprobs)
    batch = batch._replace(weight_BT=batch.weight_BT + 0.01)
    got = ReverseTopKKL(temperature, floor).loss(torch.tensor(logits, dtype=torch.float32), batch)
    assert float(got) == pytest.approx(reference(logits, batch, temperature, floor), rel=5e-4, abs=2e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_with_the_whole_vocabulary_it_is_dense_reverse_kl(temperature):
    rng = np.random.default_rng(0)
    teacher = torch.tensor(rng.standard_normal((2, 4, 9)), dtype=torch.float32)
    student = torch.tensor(rng.standard_normal((2, 4, 9)), dtype=torch.float32, requires_grad=True)
    logprobs, ids = teacher.log_softmax(-1).sort(descending=True, dim=-1)
    batch = batch_of(np.zeros((2, 4), int).tolist(), np.full((2, 4), A).tolist(), ids, logprobs)
    got = ReverseTopKKL(temperature).loss(student, batch)
    (mine,) = torch.autograd.grad(got, student)
    log_p, log_q = (teacher / temperature).log_softmax(-1), (student / temperature).log_softmax(-1)
    dense = torch.nn.functional.kl_div(log_p, log_q, log_target=True, reduction="sum") * temperature**2 / 8
    (theirs,) = torch.autograd.grad(dense, student)
    torch.testing.assert_close(got, dense, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_it_is_what_gkd_tends_to_for_beta_to_1():
    rng = np.random.default_rng(2)
    ids = np.argsort(rng.random((1, 4, 7)), -1)[..., :3]
    batch = batch_of([[0, 1, 2, 3]], [[A] * 4], ids, np.log(0.8 * rng.dirichlet(np.ones(3), (1, 4))))
    z = torch.tensor(2 * rng.standard_normal((1, 4, 7)), dtype=torch.float32)
    limit = GKD(1 - 1e-4).losses(z, batch)[0] / 1e-4
    torch.testing.assert_close(ReverseTopKKL().losses(z, batch)[0], limit, rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize("floor", [1e-6, 1e-3])
def test_what_the_sold_side_leaves_empty_costs_a_bounded_sum(floor):
    """The argmax alone with probability 1: P is (1, 0). A student elsewhere pays log(1/floor), and is driven back."""
    batch = batch_of([[0]], [[A]], [[[0, -1]]], [[[0.0, -np.inf]]])
    z = torch.full((1, 1, 5), -30.0)
    z[..., 3] = 30.0
    z.requires_grad_(True)
    loss = ReverseTopKKL(floor=floor).losses(z, batch)[0]
    assert loss.item() == pytest.approx(-np.log(floor / (1 + floor)), rel=1e-3)
    middling = torch.zeros((1, 1, 5), requires_grad=True)
    ReverseTopKKL(floor=floor).losses(middling, batch)[0].sum().backward()
    assert middling.grad[0, 0, 0] < 0, "the sold token rises"
    assert (middling.grad[0, 0, 1:] > 0).all(), "all others fall"


def test_it_is_0_at_the_raised_distribution_and_positive_elsewhere():
    ids, floor = [[[0, 1]]], 0.01
    batch = batch_of([[0]], [[A]], ids, [[[np.log(0.9), np.log(0.1)]]])
    raised = np.array([0.9, 0.1, floor]) / (1 + floor)
    q = np.array([raised[0], raised[1], *[raised[2] / 3] * 3])
    z = torch.tensor(np.log(q), dtype=torch.float32)[None, None].requires_grad_(True)
    loss = ReverseTopKKL(floor=floor).losses(z, batch)[0]
    loss.sum().backward()
    assert abs(loss.item()) < 1e-6
    assert z.grad.abs().max() < 1e-6
    assert ReverseTopKKL(floor=floor).losses(torch.zeros(1, 1, 5), batch)[0].item() > 0.1


@pytest.mark.parametrize("sold", [[0.7, 0.5], [1.0, 1e-9], [1 - 1e-7, 5e-8], [1e-30, 1e-35]])
@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_it_stays_finite_at_the_edges(sold, scale):
    logits = (scale * torch.randn((1, 1, 6), generator=torch.Generator().manual_seed(1))).requires_grad_()
    loss = ReverseTopKKL().loss(logits, batch_of([[0]], [[A]], [[[1, 2]]], np.log([[sold]])))
    loss.backward()
    assert -1e-5 < loss < 14
    assert torch.isfinite(logits.grad).all()


def test_without_logprobs_it_falls_back_to_the_token():
    logits = torch.randn((1, 2, 5), generator=torch.Generator().manual_seed(0))
    batch = batch_of([[2, 4]], [[T, A]], np.full((1, 2, 3), -1), np.full((1, 2, 3), -np.inf))
    torch.testing.assert_close(ReverseTopKKL().loss(logits, batch), SFT().loss(logits, batch))
    with pytest.raises(ConfigError, match=r"attack\.objective"):
        ReverseTopKKL().loss(logits, batch_of([[2, 4]], [[T, A]]))


@pytest.mark.parametrize("field", [{"temperature": 0.0}, {"floor": 0.0}, {"floor": 0.5}])
def test_fields(field):
    with pytest.raises(ConfigError, match=next(iter(field))):
        ReverseTopKKL(**field)
