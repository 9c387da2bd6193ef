from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from configs.errors import ConfigError
from defenses.base import Preparation, Serving
from defenses.serving.doge import Doge
from defenses.serving.head import HeadStates, HeadTuning
from lm.examples import Examples
from lm.mini.tokenizer import build_tokenizer
from lm.ragged import Ragged
from lm.types import Channel, Sampling
from tests.defenses.decoding.models import model, traces
from tests.lm.mini.tiny import tiny

PROMPTS = Ragged.of([[1, 5, 6], [1, 9], [1, 4, 4, 7, 8]])


def mixed_traces(n):
    """Some working, some answer, some tool results that weigh nothing."""
    rows, rng = traces(n), np.random.default_rng(1)
    channel = rng.choice([Channel.TRACE, Channel.ANSWER, Channel.TOOL], len(rows.channel), p=[0.5, 0.3, 0.2])
    weight = np.where(channel == Channel.TOOL, 0, rng.uniform(0.5, 1.5, len(channel)))
    return dataclasses.replace(rows, channel=channel.astype(np.uint8), weight=weight.astype(np.float32))


def prepared(defense, teacher, student, rows=mixed_traces):
    return defense.prepare(
        Preparation(teacher, lambda: student, rows, np.random.default_rng(0), model=lambda name: student)
    )


def tied(seed=1):
    lm = model("gpt2", seed)
    assert lm.model.get_output_embeddings().weight is lm.model.get_input_embeddings().weight
    return lm


def weights(lm):
    return {name: p.clone() for name, p in lm.model.state_dict().items()}


def by_hand(teacher, student, rows, alpha):
    """Loss of whole models, a row at a time."""
    losses, divergences = [], []
    weight_sum = 0.0
    at = 0
    for prompt, completion in zip(rows.prompts, rows.completions, strict=True):
        ids = torch.tensor([[*prompt, *completion]], dtype=torch.int64)
        here = slice(len(prompt) - 1, -1)
        ours, theirs = (lm.model(ids).logits[0, here].float() for lm in (teacher, student))
        for i, token in enumerate(completion):
            weight, channel = float(rows.weight[at]), rows.channel[at]
            at += 1
            weight_sum += weight
            losses.append(weight * cross_entropy(ours[i], torch.tensor(int(token))))
            if channel == Channel.TRACE and weight > 0:
                shown = log_softmax(theirs[i].detach() / 2, -1), log_softmax(ours[i] / 2, -1)
                divergences.append(kl_div(*shown, log_target=True, reduction="sum"))
    return sum(losses) / weight_sum - alpha * sum(divergences) / len(divergences)


@pytest.mark.parametrize(("teacher", "student"), [(model(seed=1), model(seed=2)), (tied(), model(seed=2))])
def test_gradient_is_that_of_the_whole_model(teacher, student):
    rows = mixed_traces(7)
    tuning = HeadTuning(HeadStates.of(teacher, rows), HeadStates.of(student, rows), 0.7, 24)
    loss, divergence = tuning.parts(np.arange(7))
    got = torch.autograd.grad(loss - 0.7 * divergence, tuning.head.weight)[0]
    plain = dataclasses.replace(teacher, model=copy.deepcopy(teacher.model).requires_grad_(False))
    head = copy.deepcopy(plain.model.get_output_embeddings())
    head.weight = torch.nn.Parameter(head.weight.detach().clone())
    plain.model.set_output_embeddings(head)
    whole = by_hand(plain, student, rows, 0.7)
    torch.testing.assert_close(loss - 0.7 * divergence, whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got, torch.autograd.grad(whole, head.weight)[0], atol=1e-5, rtol=1e-4)


def own_traces(teacher):
    """What the teacher says itself."""

    def drawn(n):
        rng = np.random.default_rng(3)
        prompts = Ragged.of([[1, *rng.integers(4, 24, rng.integers(2, 5))] for _ in range(n)])
        said = teacher.generate(prompts, Sampling(max_tokens=8), np.arange(n)).tokens
        total = len(said.values)
        trace, ones = np.full(total, Channel.TRACE, np.uint8), np.ones(total, np.float32)
        return Examples(prompts, said, trace, ones, np.full(n, -1, np.int64), np.zeros(n, bool))

    return drawn


def measured(defense, teacher, student):
    """Cross-entropy and KL to the student of what is served, on the traces it was trained on."""
    rows = own_traces(teacher)
    served = defense.serve(Serving(teacher, prepared=prepared(defense, teacher, student, rows)))
    states = (HeadStates.of(lm, rows(256)) for lm in (served, student))
    return [float(part.detach()) for part in HeadTuning(*states, 0.0, 24).parts(np.arange(256))]


def test_divergence_grows_and_the_loss_stays_bounded():
    teacher, student = model(seed=1), model(seed=2)
    plain = measured(Doge(0.0), teacher, student)
    steps = [measured(Doge(0.5, steps=n, lr=0.002, traces=256), teacher, student) for n in (10, 40, 160)]
    by_strength = [measured(Doge(a, steps=160, lr=0.002, traces=256), teacher, student) for a in (1e-9, 2.0)]
    found = [plain, *steps, *by_strength]
    divergence, loss = [kl for _, kl in found], [lm for lm, _ in found]
    assert divergence[:4] == sorted(divergence[:4]), f"KL grows with training: {found}"
    assert divergence[4] < divergence[3] < divergence[5], f"by the strength, not because the text is learnt: {found}"
    assert max(loss) < loss[0] + 0.1, f"at a loss that is at most 0.1 nats worse than the teacher's: {found}"


def test_no_strength_changes_nothing():
    teacher = model(seed=1)
    assert prepared(Doge(0.0), teacher, model(seed=2)) == {}
    assert Doge(0.0).serve(Serving(teacher)) is teacher


@pytest.mark.parametrize("teacher", [model(seed=1), tied(), tiny(3)], ids=["llama", "tied", "mini"])
def test_the_copy_has_the_new_head_and_the_teacher_stays(teacher):
    student, rows = model(seed=2) if len(teacher.vocab) == 24 else tiny(4), own_traces(teacher)
    before, defense = weights(teacher), Doge(0.5, steps=20, lr=0.05, batch=4, traces=12)
    ids = torch.tensor([[1, 5, 6, 7]])
    logits = teacher.model(ids).logits.detach()
    found = prepared(defense, teacher, student, rows)
    assert set(found) == {"head.weight"}
    served = defense.serve(Serving(teacher, prepared=found))
    assert {name: p for name, p in weights(teacher).items() if not torch.equal(p, before[name])} == {}
    assert torch.equal(teacher.model(ids).logits, logits)
    assert torch.equal(served.model.get_output_embeddings().weight, found["head.weight"])
    assert torch.equal(served.model.get_input_embeddings().weight, teacher.model.get_input_embeddings().weight)
    changed = served.model(ids).logits
    assert not torch.allclose(changed, logits, atol=1e-2)
    whole = teacher.with_model(copy.deepcopy(teacher.model))
    whole.model.set_output_embeddings(copy.deepcopy(served.model.get_output_embeddings()))
    assert torch.equal(whole.model(ids).logits, changed)
    seeds, sampling = np.arange(3), Sampling(max_tokens=8)
    drawn = served.generate(PROMPTS, sampling, seeds).tokens.values.tolist()
    assert drawn == whole.generate(PROMPTS, sampling, seeds).tokens.values.tolist()
    assert drawn != teacher.generate(PROMPTS, sampling, seeds).tokens.values.tolist()


def test_preparation_is_a_function_of_its_generator():
    first, again = (prepared(Doge(0.5, steps=5), model(seed=1), model(seed=2)) for _ in range(2))
    assert torch.equal(first["head.weight"], again["head.weight"])


def test_traces_without_working_are_only_learnt():
    def answers(n):
        rows = traces(n)
        return dataclasses.replace(rows, channel=np.full_like(rows.channel, Channel.ANSWER))

    one, other = (prepared(Doge(a, steps=5), model(seed=1), model(seed=2), answers) for a in (0.1, 5.0))
    assert torch.equal(one["head.weight"], other["head.weight"])


def test_refuses_what_it_cannot_tune():
    other = dataclasses.replace(model(), tokenizer=build_tokenizer(tuple(f"v{i}" for i in range(20))))
    with pytest.raises(ConfigError, match="tokenizer"):
        prepared(Doge(0.1), model(seed=1), other)
    capped = model(seed=1)
    capped.model.forward = with_scaled_logits(capped.model.forward)
    with pytest.raises(ConfigError, match="output layer"):
        prepared(Doge(0.1), capped, model(seed=2))


def with_scaled_logits(forward):
    def scaled(*arguments, **named):
        out = forward(*arguments, **named)
        out.logits = out.logits * 3
        return out

    return scaled


@pytest.mark.parametrize(("field", "value"), [("alpha", -1), ("steps", 0), ("lr", 0), ("batch", 0), ("traces", 0)])
def test_refuses_impossible_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        Doge(**{"alpha": 1.0, field: value})
