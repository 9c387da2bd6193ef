import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.recover.repetition_filter import RepetitionFilter, repeated
from configs.errors import ConfigError
from lm.ragged import Ragged
from lm.types import Channel
from tests.attacks.world import examples, recover_context


def said(*rows):
    return examples([[(token, Channel.TRACE) for token in row] for row in rows])


def test_shares_by_hand():
    """Two of five pairs were there before; all are different; a loop of one; too short; nothing said."""
    rows = Ragged.of([[1, 2, 1, 2, 1, 3], [1, 2, 3, 4], [7] * 6, [1], []])
    np.testing.assert_allclose(repeated(rows, 2), [2 / 5, 0, 4 / 5, 0, 0])


@given(st.lists(st.lists(st.integers(0, 3), max_size=12), max_size=6), st.integers(1, 5))
def test_agrees_with_counting(rows, n):
    def counted(row):
        grams = [tuple(row[at : at + n]) for at in range(len(row) - n + 1)]
        return 1 - len(set(grams)) / len(grams) if grams else 0.0

    np.testing.assert_allclose(repeated(Ragged.of(rows), n), [counted(row) for row in rows])


def test_loops_go_and_the_rest_keeps_its_order():
    data = said([1, 2, 3, 4, 5], [1, 2] * 6, [5, 4, 3], [6] * 9, [])
    got = RepetitionFilter(n=2, most=0.5).apply(data, recover_context())
    assert got.item.tolist() == [0, 2, 4]


def test_a_share_that_is_just_reached_stays():
    data = said([1, 2, 1, 2, 1, 3])
    assert len(RepetitionFilter(n=2, most=0.4).apply(data, recover_context())) == 1
    assert len(RepetitionFilter(n=2, most=0.39).apply(data, recover_context())) == 0


@pytest.mark.parametrize(("field", "value"), [("n", 0), ("most", -0.1), ("most", 1.1)])
def test_refuses_impossible_settings(field, value):
    with pytest.raises(ConfigError, match=field):
        RepetitionFilter(**{field: value})
