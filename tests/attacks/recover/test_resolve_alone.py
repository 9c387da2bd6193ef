"""Workings of the attacker's own that come to the teacher's answers; nothing of the teacher's workings is left."""

from dataclasses import replace

import numpy as np
import pytest

from attacks.compute import Compute, ComputeMeter
from attacks.recover.resolve_alone import ResolveAlone
from configs.errors import ConfigError
from lm.ragged import Ragged
from lm.types import Channel, Generations
from tests.attacks.world import EOS, MARK, Guesser, examples, recover_context

T, A = Channel.TRACE, Channel.ANSWER


class Solver(Guesser):
    """Answers prompt p with p mod 10, or at its first try with 9, after a working of its own."""

    def __init__(self, slow=()):
        super().__init__()
        self.slow, self.seen = set(slow), []

    def generate(self, prompts, sampling, seeds, processors=(), tools=None):
        asked = [int(row[0]) for row in prompts]
        self.seen.append(asked)
        answers = [9 if p in self.slow else p % 10 for p in asked]
        self.slow -= set(asked)
        tokens = Ragged.of([[0, 0, MARK, a, EOS] for a in answers])
        n = len(tokens.values)
        return Generations(tokens, np.zeros(n, np.uint8), np.zeros(n, np.float32), np.ones(len(prompts), bool))


def row(answer):
    shown = [] if answer is None else [(MARK, A), (answer, A), (EOS, A)]
    return [(5, T), (6, T), *shown]


def test_only_prompts_that_it_solves_as_the_teacher_did_stay_with_its_own_working():
    solver = Solver(slow=[3])
    data = examples([row(1), row(8), row(3), row(None), row(4)], item=[1, 2, 3, 4, -1])
    got = ResolveAlone(tries=2).apply(data, recover_context(student=solver))
    assert got.item.tolist() == [1, 3, -1], "2 was answered otherwise, 4 showed no answer, the last is not his"
    assert [r.tolist() for r in got.completions] == [[0, 0, MARK, 1, EOS], [0, 0, MARK, 3, EOS], [5, 6, MARK, 4, EOS]]
    assert solver.seen == [[1, 2, 3], [2, 3]]
    assert ResolveAlone(tries=1).apply(data, recover_context(student=Solver(slow=[3]))).item.tolist() == [1, -1]


def test_nothing_is_fitted_and_draws_are_booked():
    def fit(*rows, **how):
        raise AssertionError("the own model never learns from the teacher")

    meter = ComputeMeter(Compute())
    context = replace(recover_context(student=Solver(), fit=fit), compute=meter)
    ResolveAlone(tries=1).apply(examples([row(1), row(2)], item=[1, 2]), context)
    assert meter.spent == {"samples": 2, "tokens": 10, "steps": 0}


def test_what_compute_cannot_pay_is_dropped():
    context = replace(recover_context(student=Solver()), compute=ComputeMeter(Compute(samples=1)))
    assert ResolveAlone().apply(examples([row(1), row(2)], item=[1, 2]), context).item.tolist() == [1]


@pytest.mark.parametrize("rows", [[], [row(None)] * 2])
def test_nothing_answered(rows):
    assert len(ResolveAlone().apply(examples(rows), recover_context(student=Solver()))) == 0


def test_refuses_no_tries():
    with pytest.raises(ConfigError, match="tries"):
        ResolveAlone(tries=0)
