"""Tokens are drawn from logits by one uniform number each, in whatever pieces the rows are taken."""

import numpy as np
import pytest
import torch

from lm.draw import by_blocks, draw, drawn_as_processed, drawn_as_served, normalised, one_by_one, serve


def test_a_large_vocabulary_is_drawn_from_as_a_small_one():
    rng = torch.Generator().manual_seed(0)
    logits = 6 * torch.randn(400, 9001, generator=rng)
    logits[:, ::3] = -torch.inf
    logprobs = logits.log_softmax(-1)
    uniform = torch.rand(400, 1, generator=rng, dtype=torch.float64)
    uniform[:2, 0] = torch.tensor([0.0, 1 - 1e-12], dtype=torch.float64)
    found, expected = by_blocks(logprobs, uniform), one_by_one(logprobs, uniform)
    assert (found == expected).float().mean() > 0.99
    assert torch.isfinite(logprobs.gather(1, found[:, None])).all(), "what cannot be is never drawn"


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("tau", [0.0, 1.0, 0.7, [0.0, 1.0, 0.5, 1.0, 2.0, 1.0, 0.0]])
@pytest.mark.parametrize("biased", [False, True])
def test_a_few_rows_at_a_time_draw_what_all_at_once_do(monkeypatch, tau, biased, told):
    rng = torch.Generator().manual_seed(1)
    logits = (3 * torch.randn(7, 50, generator=rng)).bfloat16()
    tau = tau if isinstance(tau, float) else torch.tensor(tau)[:, None]
    bias = torch.randn(7, 50, generator=rng) if biased else None
    uniform = torch.rand(7, generator=rng, dtype=torch.float64)
    said = torch.arange(7) if told else None
    whole = drawn_as_served(logits, tau, bias, uniform, said, 3)
    monkeypatch.setattr("lm.draw.AT_ONCE", 150)
    assert [x.tolist() for x in drawn_as_served(logits, tau, bias, uniform, said, 3)] == [x.tolist() for x in whole]
    scores, here = torch.zeros(9, 50), torch.tensor([0, 1, 3, 4, 5, 7, 8])
    serve(logits, tau, bias, scores, here)
    assert not scores[[2, 6]].any(), "other rows stay as they are"
    table, scores = scores, scores[here]
    torch.testing.assert_close(normalised(table + 2.5, here), scores, atol=1e-5, rtol=0)
    again = drawn_as_processed(table - 1.0, here, tau, uniform, said, 3)
    assert again.token_b.tolist() == whole.token_b.tolist()
    for found, expected in zip(again[1:], whole[1:], strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    if not told:
        assert draw(scores, tau, uniform).tolist() == whole.token_b.tolist()
    hot = np.where(np.atleast_1d(np.asarray(tau)).ravel() > 0, np.asarray(tau).ravel(), 1.0)[:, None]
    by_hand = (logits.double().numpy() + (0 if bias is None else bias.numpy())) / hot
    by_hand -= np.log(np.exp(by_hand).sum(1, keepdims=True))
    np.testing.assert_allclose(scores.numpy(), by_hand, atol=1e-5)
    for row, token in enumerate(whole.token_b.tolist()):
        greedy = float(np.broadcast_to(np.asarray(tau).ravel(), 7)[row]) == 0
        below = np.exp(by_hand[row]).cumsum()
        expected = int(by_hand[row].argmax()) if greedy else int(np.searchsorted(below, uniform[row].item(), "right"))
        assert token == (row if told else expected)
