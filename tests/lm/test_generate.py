import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LogitsProcessor

from lm.generate import generate
from lm.ragged import Ragged
from lm.types import Channel, Sampling
from tests.lm.mini.tiny import tiny

LM = tiny()
PROMPTS = Ragged.of([np.random.default_rng(i).integers(4, 100, 2 + i % 7) for i in range(24)])
SEEDS = np.arange(24) * 7919 - 5


def llama():
    torch_rng = torch.Generator().manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=120, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=torch_rng))
    model.generation_config.eos_token_id = 2
    return LM.with_model(model)


def same(first, second):
    return np.array_equal(first.tokens.values, second.tokens.values) and np.array_equal(
        first.tokens.offsets, second.tokens.offsets
    )


class Identity(LogitsProcessor):
    def __init__(self):
        self.shapes = []

    def __call__(self, input_ids, scores):
        assert torch.allclose(scores.exp().sum(-1), torch.ones(len(scores)), atol=1e-4)
        self.shapes.append(tuple(input_ids.shape))
        return scores


@pytest.mark.parametrize("lm", [LM, llama()], ids=["mini", "llama"])
def test_greedy_is_what_transformers_generates(lm):
    ours = generate(lm, PROMPTS, Sampling(0.0, 12), SEEDS)
    for prompt, row in zip(PROMPTS, ours.tokens, strict=True):
        ids = torch.from_numpy(prompt.astype(np.int64))[None]
        theirs = lm.model.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=2)
        assert row.tolist() == theirs[0, len(prompt) :].tolist()


@pytest.mark.parametrize("lm", [LM, llama()], ids=["mini", "llama"])
def test_a_row_does_not_depend_on_its_batch(lm):
    whole = generate(lm, PROMPTS, Sampling(1.0, 20, 3), SEEDS)
    small = generate(type(lm)(lm.model, lm.tokenizer, lm.format, batch_tokens=60), PROMPTS, Sampling(1.0, 20, 3), SEEDS)
    assert same(whole, small)
    np.testing.assert_allclose(whole.logprob, small.logprob, atol=1e-4)
    looking = Identity()
    generate(type(lm)(lm.model, lm.tokenizer, lm.format, batch_tokens=60), PROMPTS, Sampling(1.0, 20), SEEDS, [looking])
    assert max(rows for rows, _ in looking.shapes) < len(PROMPTS), "the small batches were small"
    order = np.random.default_rng(0).permutation(24)
    shuffled = generate(lm, PROMPTS.take(order), Sampling(1.0, 20), SEEDS[order])
    assert np.array_equal(shuffled.tokens.values, whole.tokens.take(order).values)


def test_seeds_decide_and_sampling_follows_the_distribution():
    prompts = Ragged.of([[5, 6, 7]] * 4000)
    drawn = generate(LM, prompts, Sampling(1.0, 1), np.arange(4000)).tokens.values
    assert np.array_equal(drawn, generate(LM, prompts, Sampling(1.0, 1), np.arange(4000)).tokens.values)
    with torch.no_grad():
        p = LM.model(torch.tensor([[5, 6, 7]])).logits[0, -1].softmax(-1).numpy()
    assert np.abs(np.bincount(drawn, minlength=len(p)) / 4000 - p).sum() < 0.25


def test_processors_see_growing_input_and_change_nothing_if_they_do_nothing():
    processor = Identity()
    plain = generate(LM, PROMPTS, Sampling(0.8, 10), SEEDS)
    assert same(plain, generate(LM, PROMPTS, Sampling(0.8, 10), SEEDS, [processor]))
    widths = [width for _, width in processor.shapes]
    assert widths == list(range(widths[0], widths[0] + len(widths)))
    assert {rows for rows, _ in processor.shapes} == {24}


def test_logprobs_are_of_the_served_distribution():
    biased = Sampling(0.7, 8, 4, {9: 3.0, 2: -100.0})
    out = generate(LM, PROMPTS, biased, SEEDS)
    assert not out.finished.any()
    context = torch.from_numpy(np.r_[PROMPTS[3], out.tokens[3][:-1]].astype(np.int64))[None]
    with torch.no_grad():
        logits = LM.model(context).logits[0, len(PROMPTS[3]) - 1 :]
    logits[:, 9] += 3.0
    logits[:, 2] -= 100.0
    expected = (logits / 0.7).log_softmax(-1)
    at = out.tokens.value_index(np.array([3]))
    taken = expected[torch.arange(len(at)), torch.from_numpy(out.tokens[3].astype(np.int64))]
    np.testing.assert_allclose(out.logprob[at], taken.numpy(), atol=1e-4)
    np.testing.assert_allclose(out.top_logprobs[at], expected.topk(4).values.numpy(), atol=1e-4)
    assert np.array_equal(out.top_ids[at], expected.topk(4).indices.numpy())


def test_prefill_is_context_and_not_returned():
    prefill = Ragged.of([[8, 9]] * 24)
    joined = Ragged.of([np.r_[p, [8, 9]] for p in PROMPTS])
    assert same(
        generate(LM, PROMPTS, Sampling(1.0, 6), SEEDS, prefill=prefill), generate(LM, joined, Sampling(1.0, 6), SEEDS)
    )


class Runner:
    """Answers the first ``most`` calls of each row with the digit 3."""

    def __init__(self, most):
        self.most, self.asked = most, []

    def __call__(self, rows, generated):
        assert all(len(g) for g in generated)
        self.asked.append(rows.tolist())
        return [[7] if self.asked_so_far(r) <= self.most else [] for r in rows]

    def asked_so_far(self, row):
        return sum(row in rows for rows in self.asked)


def test_tools_are_asked_at_the_end_of_a_call_and_results_are_inserted():
    end = LM.format.call_end_ids[0]
    sampling = Sampling(1.0, 10, 2, {end: 4.0, 2: -100.0})
    runner = Runner(most=2)
    out = generate(LM, PROMPTS, sampling, SEEDS, tools=runner)
    tool = out.channel == Channel.TOOL
    assert len(runner.asked) > 2
    for r, row in enumerate(out.tokens):
        at = out.tokens.value_index(np.array([r]))
        inserted = np.flatnonzero(out.logprob[at] == 0)
        assert len(row) == 10 + len(inserted)
        assert len(inserted) <= 2
        assert all(row[i - 1] == end and row[i] == 7 and tool[at][i] for i in inserted)
        assert (out.top_ids[at][inserted] == -1).all()
        assert (out.top_logprobs[at][inserted] == -np.inf).all()
    again = generate(LM, PROMPTS, sampling, SEEDS, tools=Runner(most=0))
    alone = generate(LM, PROMPTS, sampling, SEEDS)
    assert same(again, alone)


def test_length_limit_and_finished():
    out = generate(LM, PROMPTS, Sampling(1.0, 30), SEEDS)
    ended = np.array([row[-1] == 2 for row in out.tokens])
    assert np.array_equal(out.finished, ended)
    assert (out.tokens.lengths[~ended] == 30).all()
    assert all((row[:-1] != 2).all() for row in out.tokens)


def test_nothing_to_do_and_wrong_arguments():
    empty = generate(LM, Ragged.of([]), Sampling(), np.zeros(0, np.int64))
    assert len(empty.tokens) == 0
    with pytest.raises(ValueError, match="seeds"):
        generate(LM, PROMPTS, Sampling(), SEEDS[:3])
    with pytest.raises(ValueError, match="empty"):
        generate(LM, Ragged.of([[]]), Sampling(), SEEDS[:1])
