"""Several models as one give what each gives alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lm.batches import length_batches
from lm.decoder import kept_lines
from lm.ensemble import ensemble
from lm.ragged import Ragged
from lm.types import Sampling
from tests.lm.mini.tiny import tiny


def prompts(seed: int, rows: int = 9) -> Ragged:
    rng = np.random.default_rng(seed)
    return Ragged.of([rng.integers(4, 100, rng.integers(1, 9)) for _ in range(rows)])


def tools(rows, generated):
    """A result for some calls, none for others, as real tools do."""
    return [[int(tokens[-1]) % 90 + 4] if row % 3 else [] for row, tokens in zip(rows, generated, strict=True)]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("with_tools", [False, True])
def test_members_generate_what_they_generate_alone(temperature, with_tools):
    lms = [tiny(seed, scale=0.2) for seed in range(3)]
    seeds = np.arange(27, dtype=np.int64)
    sampling = Sampling(temperature, 14, top_logprobs=2)
    parts = [prompts(seed) for seed in range(3)]
    runner = tools if with_tools else None
    joined = ensemble(lms).generate(Ragged.concat(parts), sampling, seeds, tools=runner)
    for g, (lm, part) in enumerate(zip(lms, parts, strict=True)):
        alone = lm.generate(
            part,
            sampling,
            seeds[g * 9 : g * 9 + 9],
            tools=(lambda rows, generated, g=g: tools(rows + g * 9, generated)) if with_tools else None,
        )
        rows = np.arange(g * 9, g * 9 + 9)
        at = joined.tokens.value_index(rows)
        assert [r.tolist() for r in joined.tokens.take(rows)] == [r.tolist() for r in alone.tokens]
        np.testing.assert_allclose(joined.logprob[at], alone.logprob, atol=1e-4)
        assert (joined.finished[rows] == alone.finished).all()


def test_an_ensemble_of_one_is_the_model():
    lm = tiny()
    assert ensemble([lm]) is lm


def test_memory_limits_cut_a_batch_evenly():
    lms = [tiny(seed) for seed in range(2)]
    joined = ensemble(lms)
    small = replace(joined, batch_tokens=60)
    seeds = np.arange(18, dtype=np.int64)
    both = Ragged.concat([prompts(0), prompts(1)])
    a, b = (lm.generate(both, Sampling(1.0, 8), seeds) for lm in (joined, small))
    assert (a.tokens.values == b.tokens.values).all()


@given(st.integers(1, 4), st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 90), st.integers(1, 20))
def test_batches_hold_every_row_once_and_as_many_of_each_member(members, lengths, most, rows):
    every = np.array([length + m for m in range(members) for length in lengths])
    parts = length_batches(every, most, members, rows)
    assert sorted(np.concatenate(parts)) == list(range(len(every)))
    for part in parts:
        blocks = part.reshape(members, -1) // len(lengths)
        assert (blocks == np.arange(members)[:, None]).all()
        assert len(part) == members or len(part) * every[part].max() <= most
        assert len(part) <= max(rows, members)


@given(st.integers(1, 4), st.integers(1, 6), st.data())
def test_kept_lines_hold_all_that_run_and_as_many_of_each_member(members, rows, data):
    running = np.array(data.draw(st.lists(st.booleans(), min_size=members * rows, max_size=members * rows)))
    kept = kept_lines(running, members)
    assert set(np.flatnonzero(running)) <= set(kept)
    assert (np.bincount(kept // rows, minlength=members) == running.reshape(members, -1).sum(1).max()).all()
    assert (np.diff(kept) > 0).all()


def test_gradients_are_not_kept():
    joined = ensemble([tiny(0), tiny(1)])
    assert not any(parameter.requires_grad for parameter in joined.model.parameters() if parameter is not None)
    assert all(parameter.device.type != "meta" for parameter in joined.model.parameters())
    assert joined.device == torch.device("cpu") or joined.device.type == "cuda"
