from dataclasses import replace

import numpy as np
import pytest

from attacks.recover.self_consistency import SelfConsistency
from configs.errors import ConfigError
from lm.types import Channel
from tests.attacks.world import EOS, MARK, examples, recover_context

T, A = Channel.TRACE, Channel.ANSWER


def rows(*answers, working=None):
    """A row an answer, None for none; workings differ."""
    shown = [[] if a is None else [(MARK, A), (a, A), (EOS, A)] for a in answers]
    return [[(at % 10, T), *row] for at, row in enumerate(shown)]


def kept(step, answers, item):
    data = replace(examples(rows(*answers)), item=np.array(item))
    got = step.apply(data, recover_context())
    return [int(row[0]) for row in got.completions]


def test_the_majority_of_each_prompt_stays_in_order():
    assert kept(SelfConsistency(), [1, 5, 2, 5, 2, 6], [0, 7, 0, 7, 0, 7]) == [1, 2, 3, 4]


@pytest.mark.parametrize(("ties", "left"), [("first", [1, 4]), ("all", [1, 2, 3, 4]), ("none", [])])
def test_ties(ties, left):
    assert kept(SelfConsistency(ties=ties), [9, 3, 8, 8, 3], [0] * 5) == left


def test_an_answer_needs_its_votes():
    answers, item = [1, 2, 3, 3], [0, 0, 1, 1]
    assert kept(SelfConsistency(votes=2), answers, item) == [2, 3]
    assert kept(SelfConsistency(votes=3), answers, item) == []


def test_rows_without_an_answer_have_no_vote():
    assert kept(SelfConsistency(), [None, None, 4, None, None], [0, 0, 0, 1, 1]) == [2, 3, 4]
    assert kept(SelfConsistency(votes=2), [None, None], [0, 0]) == [0, 1], "nobody can tell"


def test_rows_from_elsewhere_stay():
    assert kept(SelfConsistency(), [1, 2, 2, 3], [-1, 0, 0, -1]) == [0, 1, 2, 3]


def test_majority_is_right_more_often_than_one_draw():
    """Draws that are right with probability .5 and else one of eight wrong answers."""
    rng = np.random.default_rng(0)
    prompts, draws = 300, 5
    right = rng.random(prompts * draws) < 0.5
    answers = np.where(right, 9, rng.integers(0, 8, prompts * draws))
    data = replace(examples(rows(*answers)), item=np.repeat(np.arange(prompts), draws))
    got = SelfConsistency(ties="none").apply(data, recover_context())
    said = np.array([row[2] for row in got.completions])
    assert (said == 9).mean() > 0.85


@pytest.mark.parametrize(("field", "value"), [("votes", 0), ("ties", "last")])
def test_refuses_impossible_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        SelfConsistency(**{field: value})
