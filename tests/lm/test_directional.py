"""The direction is the gradient of the holdout's loss, and the two sides lie along it."""

from __future__ import annotations

import copy

import torch

from lm.directional import both_sides, holdout_gradient
from tests.defenses.decoding.models import model, traces
from tests.defenses.decoding.test_proxy_delta import holdout_loss


def test_gradient_is_the_unit_holdout_gradient_whatever_the_batches():
    proxy, rows = model(), traces()
    direction = holdout_gradient(proxy, rows)
    net = copy.deepcopy(proxy.model)
    holdout_loss(net, rows).backward()
    exact = torch.cat([p.grad.flatten() for p in net.parameters()])
    ours = torch.cat([direction[name].flatten() for name, _ in net.named_parameters()])
    torch.testing.assert_close(ours, exact / exact.norm(), atol=1e-6, rtol=1e-4)
    small = copy.copy(proxy)
    object.__setattr__(small, "batch_tokens", 40)
    pieces = torch.cat([g.flatten() for g in holdout_gradient(small, rows).values()])
    torch.testing.assert_close(pieces, torch.cat([g.flatten() for g in direction.values()]), atol=1e-6, rtol=1e-4)
    assert all(p.grad is None for p in proxy.model.parameters())


def test_the_two_sides_differ_in_loss_by_the_norm_of_the_gradient():
    """Along the unit gradient the holdout's loss rises by ‖g‖ a unit; the model itself stays between the two."""
    lm, rows, epsilon = model("gpt2", dtype=torch.float64), traces(), 1e-4
    net = copy.deepcopy(lm.model)
    holdout_loss(net, rows).backward()
    norm = torch.cat([p.grad.flatten() for p in net.parameters()]).norm()
    before = holdout_loss(lm.model, rows)
    plus, minus = (holdout_loss(side.model, rows) for side in both_sides(lm, holdout_gradient(lm, rows), epsilon))
    torch.testing.assert_close((plus - minus) / (2 * epsilon), norm, rtol=1e-5, atol=0)
    assert minus < before < plus
