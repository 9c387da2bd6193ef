import numpy as np
import pytest
import torch

from configs.errors import ConfigError
from student.objectives.gkd import GKD, jensen_shannon
from student.objectives.topk_kl import TopKKL
from tests.student.objectives.test_objectives import A, batch_of, log_softmax

torch.set_num_threads(1)
V = 7


def drawn(seed, k=3, mass=0.8):
    """Logits (1, 4, V) and a batch with k sold logprobs a position."""
    rng = np.random.default_rng(seed)
    ids = np.argsort(rng.random((1, 4, V)), -1)[..., :k]
    p = mass * rng.dirichlet(np.ones(k), (1, 4))
    return 2 * rng.normal(size=(1, 4, V)), batch_of([[0, 1, 2, 3]], [[A] * 4], ids, np.log(p))


def bins(logits, batch):
    """(4, K+1) twice: sold and the student's, in float64, by sets."""
    sold, own = [], []
    for j in range(4):
        q = np.exp(log_softmax(logits[0, j]))
        ids = batch.top_ids_BTK[0, j].numpy()
        p = np.exp(batch.top_logprobs_BTK[0, j].double().numpy())
        sold.append([*p, 1 - p.sum()])
        own.append([*q[ids], q[[x for x in range(V) if x not in ids]].sum()])
    return np.array(sold), np.array(own)


def kl(p, q):
    return (p * np.log(p / q)).sum(-1)


def losses(logits, batch, beta):
    return GKD(beta).losses(torch.tensor(logits, dtype=torch.float32), batch)[0].numpy()[0]


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_the_divergence_over_bins(beta, seed):
    logits, batch = drawn(seed)
    p, q = bins(logits, batch)
    m = beta * p + (1 - beta) * q
    np.testing.assert_allclose(losses(logits, batch, beta), beta * kl(p, m) + (1 - beta) * kl(q, m), rtol=2e-5)


def test_the_limits_are_the_two_divergences():
    p, q = bins(*drawn(2))
    log_p, log_q = torch.tensor(np.log(p)), torch.tensor(np.log(q))
    for beta, scale, limit in ((1e-6, 1e-6, kl(p, q)), (1 - 1e-6, 1e-6, kl(q, p))):
        np.testing.assert_allclose(jensen_shannon(log_p, log_q, beta) / scale, limit, rtol=1e-4)
    logits, batch = drawn(2)
    forward = TopKKL().losses(torch.tensor(logits, dtype=torch.float32), batch)[0].numpy()[0]
    np.testing.assert_allclose(losses(logits, batch, 1e-4) / 1e-4, forward, rtol=2e-2)


def test_swapping_the_sides_swaps_the_weights():
    p, q = (torch.tensor(np.log(x)) for x in bins(*drawn(3)))
    torch.testing.assert_close(jensen_shannon(p, q, 0.3), jensen_shannon(q, p, 0.7))


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.9])
def test_zero_and_without_gradient_where_both_agree(beta):
    logits, batch = drawn(4)
    ids = batch.top_ids_BTK.numpy()
    told = np.take_along_axis(log_softmax(logits), ids, -1)
    batch = batch_of([[0, 1, 2, 3]], [[A] * 4], ids, told)
    z = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    loss = GKD(beta).losses(z, batch)[0]
    loss.sum().backward()
    assert loss.abs().max() < 1e-6
    assert z.grad.abs().max() < 1e-6


@pytest.mark.parametrize("beta", [0.1, 0.5, 0.9])
def test_the_gradient_is_that_of_finite_differences(beta):
    rng = np.random.default_rng(5)
    log_p = torch.tensor(np.log(rng.dirichlet(np.ones(4), 3)))
    z = torch.tensor(rng.normal(size=(3, 4)), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: jensen_shannon(log_p, x.log_softmax(-1), beta), z)
    logits, batch = drawn(6)
    whole = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    GKD(beta).losses(whole, batch)[0].sum().backward()
    step = 1e-2
    for j, v in [(0, 0), (1, 3), (2, 6), (3, 2)]:
        up, down = logits.copy(), logits.copy()
        up[0, j, v] += step
        down[0, j, v] -= step
        slope = (losses(up, batch, beta).sum() - losses(down, batch, beta).sum()) / (2 * step)
        assert whole.grad[0, j, v].item() == pytest.approx(slope, abs=2e-4)


def test_what_one_side_leaves_empty_costs_log_2_at_most():
    ids = [[[0, 1]]]
    batch = batch_of([[0]], [[A]], ids, np.array([[[0.0, -np.inf]]]))
    z = torch.full((1, 1, V), -100.0)
    z[..., 5] = 100.0
    z.requires_grad_(True)
    loss = GKD(0.5).losses(z, batch)[0]
    loss.sum().backward()
    assert loss.item() == pytest.approx(np.log(2), rel=1e-5)
    assert torch.isfinite(z.grad).all()


def test_more_sold_than_one_is_scaled_back():
    logits, batch = drawn(7, mass=1.3)
    p = np.exp(batch.top_logprobs_BTK[0].double().numpy())
    _, q = bins(logits, batch)
    p = np.concatenate([p / p.sum(-1, keepdims=True), np.zeros((4, 1))], -1)
    m = 0.5 * (p + q)
    want = 0.5 * kl(p[:, :-1], m[:, :-1]) + 0.5 * kl(q, m)
    np.testing.assert_allclose(losses(logits, batch, 0.5), want, rtol=2e-5)


def test_positions_without_logprobs_get_cross_entropy():
    logits, batch = drawn(8)
    none = batch._replace(top_ids_BTK=torch.full_like(batch.top_ids_BTK, -1))
    want = [-log_softmax(logits)[0, j, j] for j in range(4)]
    np.testing.assert_allclose(losses(logits, none, 0.5), want, rtol=1e-5)
    with pytest.raises(ConfigError, match="needs top_logprobs"):
        losses(logits, batch._replace(top_ids_BTK=None, top_logprobs_BTK=None), 0.5)


@pytest.mark.parametrize("beta", [0.0, 1.0, -0.1])
def test_fields(beta):
    with pytest.raises(ConfigError, match="beta"):
        GKD(beta)
