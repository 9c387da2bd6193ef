"""Norms in one pass over memory are those of transformers, and others are left alone."""

import copy

import pytest
import torch
from torch import nn
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm

from lm.half_norm import THREADS, Quick, quick_norms
from tests.lm.test_grouped import model_of


class Holder(nn.Module):
    """Like a model: it has a device and a number format."""

    def __init__(self, *norms: nn.Module, dtype: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norms).to(dtype)
        rng = torch.Generator().manual_seed(1)
        for norm in self.norms:
            norm.weight.data = (0.5 + torch.rand(norm.weight.shape, generator=rng)).to(dtype)
        self.device, self.dtype = torch.device("cpu"), dtype


@pytest.mark.parametrize("shape", [(1, 1, 33), (7, 64), (3, 5, 576)])
@pytest.mark.parametrize("kind", [LlamaRMSNorm, Qwen2RMSNorm])
@torch.no_grad()
def test_it_gives_transformers_numbers(kind: type[nn.Module], shape: tuple[int, ...]) -> None:
    norm = kind(shape[-1], eps=1e-5)
    plain = Holder(norm)
    quick = copy.deepcopy(plain)
    quick_norms(quick)
    assert isinstance(quick.norms[0], Quick)
    assert isinstance(quick.norms[0], kind)
    assert not isinstance(plain.norms[0], Quick)
    x = (5 * torch.randn(shape, generator=torch.Generator().manual_seed(2))).bfloat16()
    for given in (x, 1e-6 * x, 1e6 * x, torch.zeros_like(x), x.transpose(0, -1).contiguous().transpose(0, -1)):
        found, expected = quick.norms[0](given), plain.norms[0](given)
        assert found.dtype == expected.dtype
        torch.testing.assert_close(found, expected, rtol=2**-7, atol=0)
        assert (found == expected).float().mean() > 0.99
    again = copy.deepcopy(quick)
    quick_norms(again)
    assert torch.equal(again.norms[0](x), quick.norms[0](x))
    assert list(quick.state_dict()) == list(plain.state_dict())


def test_others_are_left_alone() -> None:
    for holder in (Holder(Gemma2RMSNorm(32)), Holder(LlamaRMSNorm(32), dtype=torch.float32), Holder(nn.LayerNorm(32))):
        quick_norms(holder)
        assert not isinstance(holder.norms[0], Quick)


def test_with_gradients_and_many_threads_transformers_computes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    holder = Holder(LlamaRMSNorm(16))
    quick_norms(holder)
    monkeypatch.setattr("lm.half_norm._normed", lambda *_: pytest.fail("called"))
    x = torch.ones(2, 16, dtype=torch.bfloat16)
    holder.norms[0](x).sum().backward()
    assert holder.norms[0].weight.grad is not None
    monkeypatch.setattr(torch, "get_num_threads", lambda: THREADS + 1)
    with torch.no_grad():
        holder.norms[0](x)


def test_a_model_says_nearly_the_same_with_them() -> None:
    model = model_of(2, torch.bfloat16)
    quick, ids = copy.deepcopy(model), torch.tensor([[5, 6, 7, 8]])
    quick_norms(quick)
    with torch.no_grad():
        torch.testing.assert_close(quick(ids).logits, model(ids).logits, atol=0.1, rtol=0.1)
