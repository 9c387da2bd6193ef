"""Forward passes in closed form: models whose number and size are known."""

import numpy as np
import pytest
import torch

from lm.cached import CachedModel
from lm.generate import generate
from lm.passes import DECODE, by_others, counting
from lm.types import Sampling
from tests.lm.mini.tiny import tiny
from tests.lm.test_generate import LM, PROMPTS, SEEDS, llama

OTHER = tiny(4)
SAMPLING = Sampling(1.0, 20)


def size(lm):
    return sum(p.numel() for p in lm.model.parameters())


class Runs:
    """Runs models, and changes nothing.

    Args:
        lms: one forward pass each at every step.
        cached: whether they go on from what they have read.
    """

    def __init__(self, *lms, cached=True):
        self.lms, self.cached = lms, cached

    def begin(self, rows):
        self.readers = [CachedModel(lm.model) for lm in self.lms]
        self.seen = 0

    def __call__(self, input_ids, scores):
        read = input_ids[:, self.seen if self.cached else 0 :].clamp_max(100)
        mask = (input_ids != 0).cumsum(1).clamp_max(1)
        for reader in self.readers:
            if not self.cached:
                reader.forget()
            with torch.no_grad():
                reader.read(read, mask)
        self.seen = input_ids.shape[1]
        return scores


class Rewrites:
    """Lets another model write and score at every step, by the kernels that call no module."""

    def __call__(self, input_ids, scores):
        rows = PROMPTS.take(np.arange(len(input_ids)) % len(PROMPTS))
        OTHER.generate(rows, Sampling(0.0, 1), np.arange(len(rows)))
        OTHER.score(rows, rows)
        return scores


def counted(lm, *processors, batch_tokens=65_536):
    with counting() as passes:
        drawn = generate(
            type(lm)(lm.model, lm.tokenizer, lm.format, batch_tokens=batch_tokens), PROMPTS, SAMPLING, SEEDS, processors
        )
    return passes, drawn


@pytest.mark.parametrize("lm", [LM, llama()], ids=["kernels", "transformers"])
def test_the_answering_model_alone_runs_nothing_extra(lm):
    passes, drawn = counted(lm)
    assert passes.tokens == len(drawn.tokens.values)
    assert passes.extra_per_token == 0
    assert passes.extra_compute == 0
    read = len(PROMPTS.values) + len(drawn.tokens.values) - len(PROMPTS)
    assert passes.work == read * size(lm), "the last token of each text is drawn and not read"


@pytest.mark.parametrize("others", [[OTHER], [OTHER, OTHER], [llama()], [llama(), OTHER]])
def test_so_many_models_a_step_are_so_many_passes_a_token(others):
    passes, drawn = counted(LM, Runs(*others))
    assert len(set(drawn.tokens.lengths.tolist())) > 1, "texts end one by one"
    assert passes.extra_per_token == pytest.approx(len(others), rel=1e-12)
    assert passes.extra_compute == pytest.approx(sum(map(size, others)) / size(LM), rel=1e-12)


@pytest.mark.parametrize("batch_tokens", [60, 200, 65_536])
def test_numbers_do_not_depend_on_the_batch(batch_tokens):
    small, whole = counted(LM, Runs(OTHER), batch_tokens=batch_tokens)[0], counted(LM, Runs(OTHER))[0]
    for name in ("tokens", "work", "extra", "extra_work"):
        assert getattr(small, name) == pytest.approx(getattr(whole, name), rel=1e-12)


def test_reading_everything_again_is_a_pass_a_token_but_more_work():
    again, cached = counted(LM, Runs(OTHER, cached=False))[0], counted(LM, Runs(OTHER))[0]
    assert again.extra_per_token == pytest.approx(1)
    assert again.extra_compute > 2 * cached.extra_compute


def test_models_that_write_and_score_are_counted_however_they_run():
    passes, _ = counted(LM, Rewrites())
    assert passes.extra_per_token == pytest.approx(2)


def test_nothing_is_counted_that_nobody_collects_and_failed_passes_are_forgotten():
    with counting() as passes:
        pass
    counted(LM, Runs(OTHER))
    assert passes.tokens == passes.extra == 0
    with counting() as passes, by_others(DECODE):
        with pytest.raises(IndexError):
            OTHER.model(torch.tensor([[10**6]]))
        OTHER.model(torch.tensor([[5, 6, 7]]))
    assert passes.extra == 1
    assert passes.extra_work == 3 * size(OTHER)
    assert passes.seconds[DECODE] > 0
