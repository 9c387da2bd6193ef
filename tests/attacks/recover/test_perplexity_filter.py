"""Perplexities that are known, within families that differ; rows that an objective drops."""

from dataclasses import replace

import numpy as np
import pytest

from attacks.recover.perplexity_filter import PerplexityFilter
from configs.errors import ConfigError
from lm.types import Channel, Scores
from student.objectives.sft_answers import strip_trace
from tests.attacks.world import Guesser, examples, recover_context

T, A = Channel.TRACE, Channel.ANSWER


class Sure(Guesser):
    """Finds token t improbable by t nats."""

    def score(self, prompts, completions, top_k=0):
        nats = completions.values.astype(np.float32)
        return Scores(-nats, nats > 0, nats)


class Surer(Sure):
    """The other way round: what it was trained to find."""

    def score(self, prompts, completions, top_k=0):
        scores = super().score(prompts, completions)
        return replace(scores, logprob=-10 - scores.logprob)


def context(family, **changes):
    fitted = []

    def fit(rows, start=None, objective=None, seed=0):
        assert len(rows), "nothing can be fitted to no rows"
        fitted.append(rows.item.tolist())
        return Surer()

    made = replace(recover_context(student=Sure(), fit=fit), family=np.array(family, object), **changes)
    return made, fitted


def rows_of(*nats):
    """Rows of two tokens, this many nats a token on average."""
    return examples([[(n - 1, T), (n + 1, A)] for n in nats])


def kept(step, data, family, **changes):
    return step.apply(data, context(family, **changes)[0]).item.tolist()


def test_the_least_and_the_most_probable_of_each_family_go():
    """The hard family is all less probable than the easy one; a threshold over both would take from one side only."""
    data = rows_of(2, 9, 1, 10, 3, 8, 4, 7)
    family = ["easy", "hard"] * 4
    assert kept(PerplexityFilter(highest=0.25), data, family) == [0, 1, 2, 4, 5, 7]
    assert kept(PerplexityFilter(highest=0, lowest=0.25), data, family) == [0, 1, 3, 4, 5, 6]
    assert kept(PerplexityFilter(highest=0.25, lowest=0.5), data, family) == [1, 4]


def test_shares_are_rounded_down_and_of_equal_rows_the_later_go():
    data = rows_of(5, 5, 5, 5)
    assert kept(PerplexityFilter(highest=0.24), data, ["f"] * 4) == [0, 1, 2, 3]
    assert kept(PerplexityFilter(highest=0.5), data, ["f"] * 4) == [0, 1]
    assert kept(PerplexityFilter(highest=0.29), rows_of(*[5] * 100), ["f"] * 100) == list(range(71)), (
        "0.29 of 100 is 29"
    )


def test_only_what_is_learnt_counts():
    """3 nats a token of the first row; of the second 5, but 1 of what is learnt."""
    data = examples([[(2, T), (4, A)], [(1, T), (9, A)]])
    assert kept(PerplexityFilter(highest=0.5), data, ["f"] * 2) == [0]
    data = data.with_weight(np.array([1, 1, 1, 0], np.float32))
    assert kept(PerplexityFilter(highest=0.5), data, ["f"] * 2) == [1]


def test_a_model_fitted_to_the_rows_can_read_them():
    data = rows_of(1, 5, 9)
    made, fitted = context(["f"] * 3)
    assert PerplexityFilter(highest=0.34, reader="fitted").apply(data, made).item.tolist() == [1, 2]
    assert fitted == [[0, 1, 2]]
    assert PerplexityFilter(highest=0.34).apply(data, made).item.tolist() == [0, 1]
    assert len(fitted) == 1


def test_rows_that_the_objective_drops_stay_and_shift_no_other():
    """Without its working row 1 teaches nothing. Rows 0, 2, 3 are told apart by their answers."""
    rows = [[(9, T), (2, A)], [(9, T)], [(1, T), (8, A)], [(1, T), (3, A)]]
    got = kept(
        PerplexityFilter(highest=0.34), examples(rows), ["f"] * 4, own=lambda rows, objective=None: strip_trace(rows)
    )
    assert got == [0, 1, 3]


def test_rows_from_elsewhere_stay():
    data = replace(rows_of(1, 9, 9), item=np.array([0, 1, -1]))
    assert kept(PerplexityFilter(highest=0.5), data, ["f"] * 3) == [0, -1]


def test_nothing_harvested():
    assert kept(PerplexityFilter(reader="fitted"), examples([]), []) == []


@pytest.mark.parametrize(
    ("field", "changes"),
    [("highest", {"highest": -0.1}), ("highest", {"highest": 0.6, "lowest": 0.4}), ("reader", {"reader": "teacher"})],
)
def test_refuses_impossible_settings(field, changes):
    with pytest.raises(ConfigError, match=field):
        PerplexityFilter(**changes)
