"""Δ means what the paper says, by its effect, and agrees with the exact derivative."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.func import functional_call, jvp

from defenses.decoding.proxy_delta import PerturbedProxy, teacher_weighted_sd
from lm.batch import collate
from lm.directional import holdout_gradient
from tests.defenses.decoding.models import model, traces

PREFIX = torch.tensor([[0, 0, 1, 5, 9, 7], [1, 4, 4, 8, 20, 6]])


def holdout_loss(net, rows):
    batch = collate(rows, np.arange(len(rows)), 0, torch.device("cpu"))
    logits = net(input_ids=batch.input_BT, attention_mask=batch.mask_BT).logits
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch.target_BT, reduction="none")
    return (losses * batch.weight_BT).sum() / batch.weight_BT.sum()


def logprobs(net, ids):
    return net(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -1].log_softmax(-1)


def test_training_on_a_token_of_high_delta_raises_the_holdout_loss():
    """The sign and the size: after one SGD step of the proxy on token x, its loss on clean traces has risen by
    (step size) · ‖g‖ · Δ(x)."""
    proxy, rows, step = model("gpt2", dtype=torch.float64), traces(), 1e-6
    prefix = PREFIX[1:]
    delta = PerturbedProxy(proxy, holdout_gradient(proxy, rows), 1e-4).next_token(prefix)[0]
    before = holdout_loss(proxy.model, rows).detach()
    rise = []
    for token in range(24):
        student = copy.deepcopy(proxy.model)
        (-logprobs(student, prefix)[0, token]).backward()
        with torch.no_grad():
            for parameter in student.parameters():
                parameter -= step * parameter.grad
            rise.append(holdout_loss(student, rows) - before)
    assert rise[int(delta.argmax())] > 0 > rise[int(delta.argmin())]
    net = copy.deepcopy(proxy.model)
    holdout_loss(net, rows).backward()
    norm = torch.stack([p.grad.square().sum() for p in net.parameters()]).sum().sqrt()
    torch.testing.assert_close(torch.stack(rise) / step, norm * delta, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_delta_agrees_with_the_jacobian_vector_product_and_its_error_is_u_shaped(dtype):
    """Claim C3 (Savani et al., appendix): too large an ε is biased as ε², too small a one loses digits."""
    proxy, rows = model("gpt2", dtype=dtype), traces()
    direction = holdout_gradient(proxy, rows)
    ids = PREFIX[1:]

    def at(parameters):
        output = functional_call(proxy.model, parameters, kwargs={"input_ids": ids, "use_cache": False})
        return output.logits[:, -1].log_softmax(-1)

    parameters = {name: p.detach() for name, p in proxy.model.named_parameters()}
    _, exact = jvp(at, (parameters,), (direction,))
    epsilons = [10.0**-k for k in range(0, 8 if dtype == torch.float32 else 15)]
    errors = np.array(
        [float((PerturbedProxy(proxy, direction, e).next_token(ids) - exact).norm() / exact.norm()) for e in epsilons]
    )
    best = int(errors.argmin())
    assert errors[best] < (1e-3 if dtype == torch.float32 else 1e-8)
    assert 0 < best < len(errors) - 1
    assert errors[0] > 10 * errors[best]
    assert errors[-1] > 10 * errors[best]
    if dtype == torch.float64:
        np.testing.assert_allclose(errors[1] / errors[3], 1e4, rtol=0.2)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_cached_steps_give_what_starting_anew_gives(kind):
    proxy = model(kind)
    direction = holdout_gradient(proxy, traces())
    running = PerturbedProxy(proxy, direction, 0.05)
    for t in (3, 4, 5, 6):
        torch.testing.assert_close(
            running.next_token(PREFIX[:, :t]),
            PerturbedProxy(proxy, direction, 0.05).next_token(PREFIX[:, :t]),
            atol=2e-5,
            rtol=1e-3,
        )
    other = PREFIX.flip(0)[:, 1:]
    fresh = PerturbedProxy(proxy, direction, 0.05).next_token(other)
    torch.testing.assert_close(running.next_token(other), fresh, atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_left_padding_changes_nothing(kind):
    proxy = model(kind)
    perturbed = PerturbedProxy(proxy, holdout_gradient(proxy, traces()), 0.05)
    torch.testing.assert_close(
        perturbed.next_token(PREFIX)[:1], perturbed.next_token(PREFIX[:1, 2:]), atol=2e-5, rtol=1e-3
    )


def test_scale_is_the_teacher_weighted_sd_within_positions():
    teacher, proxy, rows = model(seed=1), model(), traces(6)
    perturbed = PerturbedProxy(proxy, holdout_gradient(proxy, rows), 0.05)
    squares = []
    for i in range(len(rows)):
        full = [*rows.prompts[i], *rows.completions[i]]
        for end in range(len(rows.prompts[i]), len(full)):
            ids = torch.tensor([full[:end]])
            delta, p = perturbed.next_token(ids)[0], logprobs(teacher.model, ids)[0].detach().exp()
            squares.append(float((p * (delta - (p * delta).sum()) ** 2).sum()))
    assert teacher_weighted_sd(teacher, perturbed, rows) == pytest.approx(np.mean(squares) ** 0.5, rel=1e-3)


def test_sixteen_bit_proxies_are_perturbed_in_thirty_two_bits():
    rows, half = traces(), model(dtype=torch.bfloat16)
    direction = holdout_gradient(half, rows)
    delta = PerturbedProxy(half, direction, 1e-2).next_token(PREFIX)
    single = copy.copy(half)
    object.__setattr__(single, "model", copy.deepcopy(half.model).float())
    torch.testing.assert_close(delta, PerturbedProxy(single, direction, 1e-2).next_token(PREFIX))
    assert next(half.model.parameters()).dtype == torch.bfloat16
