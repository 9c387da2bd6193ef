"""What a harvest is made of, against answers changed by hand."""

from dataclasses import replace

import numpy as np
import pytest

from attacks.client import Harvested
from experiments.measure.exposure import changed_share, exposure
from lm.ragged import Ragged
from teacher.api.schema import Responses


def harvested(items, rows, asked=None, finished=None, request=None, logprob=None):
    n = len(rows)
    tokens = Ragged.of(rows)
    responses = Responses(
        request=np.arange(n) if request is None else np.array(request),
        tokens=tokens,
        channel=np.ones(len(tokens.values), np.uint8),
        finished=np.ones(n, bool) if finished is None else np.array(finished),
        cut=np.zeros(n, bool),
        output_tokens=tokens.lengths.astype(np.int32),
        logprob=logprob,
    )
    return Harvested(np.array(items), responses, n if asked is None else asked)


PLAIN = harvested([4, 2, 4, 7], [[1, 2], [3], [5, 6], []])


def test_nothing_changed():
    assert changed_share(PLAIN, PLAIN) == 0.0


def test_answers_are_paired_by_prompt_and_turn_whatever_the_order():
    shuffled = harvested([7, 4, 4, 2], [[], [1, 2], [5, 6], [3]])
    assert changed_share(shuffled, PLAIN) == 0.0
    swapped = harvested([7, 4, 4, 2], [[], [5, 6], [1, 2], [3]])
    assert changed_share(swapped, PLAIN) == 0.5


def test_a_refused_request_counts_as_changed():
    assert changed_share(harvested([4, 2], [[1, 2], [9]], asked=4), PLAIN) == pytest.approx(3 / 4)


def test_prompts_that_only_one_attack_asked_are_left_out():
    assert changed_share(harvested([4, 9], [[1, 2], [8]]), PLAIN) == 0.0
    assert changed_share(harvested([9], [[8]]), PLAIN) is None


def test_sold_numbers_count():
    sold = replace(PLAIN, responses=replace(PLAIN.responses, logprob=np.zeros(5, np.float32)))
    rounded = replace(sold, responses=replace(sold.responses, logprob=np.array([0, 0, 1, 0, 0], np.float32)))
    assert changed_share(rounded, sold) == 0.25
    assert changed_share(PLAIN, sold) == 1.0, "what is sold of it is gone"


def test_prompts_and_cut_answers_are_counted():
    found = exposure(harvested([4, 2, 4, 7], [[1]] * 4, finished=[True, False, False, True]), PLAIN)
    assert found["distinct_prompts"] == 3
    assert found["cut_share"] == 0.5
    nothing = exposure(harvested([], [], asked=5), PLAIN)
    assert nothing == {"distinct_prompts": 0, "cut_share": None, "changed_share": 1.0}
