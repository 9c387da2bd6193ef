"""The sliced loss is the loss, and costs no float32 copy."""

import pytest
import torch

from lm import half_entropy
from lm.half_entropy import cross_entropies


def drawn(*shape, dtype):
    rng = torch.Generator().manual_seed(3)
    logits = (torch.randn(*shape, generator=rng) * 4).to(dtype).requires_grad_()
    return logits, torch.randint(shape[-1], shape[:-1], generator=rng), torch.randn(shape[:-1], generator=rng)


@pytest.mark.parametrize("shape", [(7, 50), (2, 3, 50), (1, 50), (0, 50)])
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_half_precision_is_torchs_own_on_float32_and_its_gradient_rounded_once(monkeypatch, shape, rows):
    monkeypatch.setattr(half_entropy, "SLICE", rows * shape[-1])
    logits, target, weight = drawn(*shape, dtype=torch.bfloat16)
    (cross_entropies(logits, target) * weight).sum().backward()
    found, logits.grad = logits.grad, None
    wanted = torch.nn.functional.cross_entropy(logits.float().flatten(0, -2), target.flatten(), reduction="none")
    torch.testing.assert_close(cross_entropies(logits, target).flatten(), wanted)
    (wanted * weight.flatten()).sum().backward()
    torch.testing.assert_close(found, logits.grad, rtol=2**-7, atol=1e-6)
    assert found.dtype == torch.bfloat16


def test_float32_is_torchs_own_to_the_bit():
    logits, target, _ = drawn(2, 3, 50, dtype=torch.float32)
    wanted = torch.nn.functional.cross_entropy(logits.transpose(1, 2), target, reduction="none")
    assert torch.equal(cross_entropies(logits, target), wanted)
    flat = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
    assert torch.equal(cross_entropies(logits.flatten(0, 1), target.flatten()), flat)
