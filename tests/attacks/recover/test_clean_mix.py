import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.recover.clean_mix import CleanMix
from configs.errors import ConfigError
from experiments.cell_from import cell_from
from experiments.compose.compose import compose_one
from lm.types import Channel
from tests.attacks.world import EOS, examples, public, recover_context
from tests.experiments.test_cell import TINY

ROW = [(1, Channel.TRACE), (EOS, Channel.ANSWER)]


@given(st.integers(1, 200), st.floats(0, 0.95))
def test_public_rows_are_the_share_that_is_asked_for(count, fraction):
    data = examples([ROW] * count)
    got = CleanMix(fraction).apply(data, recover_context())
    assert (got.item >= 0).sum() == count
    assert abs((got.item == -1).sum() - fraction * len(got)) <= 0.5
    assert (got.item[count:] == -1).all()


def test_no_share_changes_nothing():
    data = examples([ROW] * 5)
    assert CleanMix(0.0).apply(data, recover_context()) is data


def test_few_public_rows_are_repeated():
    context = recover_context()
    object.__setattr__(context, "public", lambda n, seed=0: public(min(n, 3)))
    got = CleanMix(0.9).apply(examples([ROW] * 2), context)
    assert (got.item == -1).sum() == 18
    assert np.unique(got.completions.lengths[2:]).tolist() == [4]


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2.0])
def test_refuses_impossible_shares(fraction):
    with pytest.raises(ConfigError, match="fraction"):
        CleanMix(fraction)


@pytest.mark.parametrize("attack", ["mix", "paraphrase", "neutralise"])
def test_the_twin_that_never_meets_the_teacher_hides_nothing(attack):
    """The student and the undefended twin take the step, the self twin is that of plain imitation."""
    plain, hidden = (
        cell_from(compose_one([*TINY, "defense=kgw", f"attack={name}"]).config).row_stage()
        for name in ("imitate", attack)
    )
    assert hidden.scores["self"].key == plain.scores["self"].key
    for role in ("student", "undefended"):
        assert hidden.scores[role].key != plain.scores[role].key
