from dataclasses import replace

import numpy as np
import pytest

from attacks.recover.best_of_n import BestOfN
from configs.errors import ConfigError
from lm.types import Channel, Scores
from student.objectives.sft_answers import strip_trace
from tests.attacks.world import EOS, MARK, Guesser, examples, recover_context

T, A = Channel.TRACE, Channel.ANSWER


def row(working, answer):
    shown = [] if answer is None else [(MARK, A), (answer, A), (EOS, A)]
    return [*((t, T) for t in working), *shown]


def check(item, text):
    """1 is right, 0 is wrong, others cannot be told."""
    return {"1": True, "0": False}.get(text.split()[-1])


def kept(step, rows, item=None, context=None):
    """Places of the rows that stay."""
    data = examples([row(*one) for one in rows])
    numbered = replace(data, item=np.zeros(len(rows), int) if item is None else np.array(item))
    marked = replace(numbered, prompts=data.prompts)
    got = step.apply(marked, context or recover_context(check))
    return [int(prompt[0]) for prompt in got.prompts]


ROWS = [((5, 5, 5), 1), ((5,), 0), ((5, 5), 1), ((5,), 7)]


@pytest.mark.parametrize(
    ("step", "left"),
    [
        (BestOfN(), [2]),
        (BestOfN(then="longest"), [0]),
        (BestOfN(keep=2), [0, 2]),
        (BestOfN(keep=3), [0, 2, 3]),
        (BestOfN(keep=4), [0, 2, 3]),
        (BestOfN(keep=4, wrong=True), [0, 1, 2, 3]),
    ],
)
def test_right_before_untold_before_wrong_then_by_length(step, left):
    assert kept(step, ROWS) == left


def test_of_equal_rows_the_first_stays_and_each_prompt_has_its_own():
    rows = [((5,), 1), ((6,), 1), ((5,), 0), ((5, 5), 0)]
    assert kept(BestOfN(), rows, [0, 0, 1, 1]) == [0]
    assert kept(BestOfN(wrong=True), rows, [0, 0, 1, 1]) == [0, 2]


def test_rows_without_an_answer_are_untold_and_rows_from_elsewhere_stay():
    assert kept(BestOfN(), [((5,), None), ((5,), 0), ((5,), 0)], [3, 3, -1]) == [0, 2]


class Sure(Guesser):
    def score(self, prompts, completions, top_k=0):
        nats = completions.values.astype(np.float32)
        return Scores(-nats, nats > 0, nats)


def test_by_what_the_own_model_finds_likeliest_a_token():
    context = replace(recover_context(check), student=Sure)
    assert kept(BestOfN(then="likeliest"), [((5,), 1), ((1, 1, 1), 1), ((9,), 1)], context=context) == [1]


def test_likeliest_where_the_objective_drops_rows():
    """Rows 0 and 2 teach nothing without their working, and so come after row 1 and 3, which come by their answers."""
    own = {"own": lambda rows, objective=None: strip_trace(rows)}
    context = replace(recover_context(check), student=Sure, **own)
    rows = [((1,), None), ((9,), 7), ((1,), None), ((1,), 3)]
    assert kept(BestOfN(then="likeliest"), rows, context=context) == [3]
    assert kept(BestOfN(then="likeliest", keep=2), rows, context=context) == [1, 3]


@pytest.mark.parametrize(("field", "value"), [("keep", 0), ("then", "nicest")])
def test_refuses_impossible_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        BestOfN(**{field: value})
