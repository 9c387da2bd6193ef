import numpy as np
import pytest

from attacks.harvest.uncertainty import Uncertainty, uncertainty
from configs.errors import ConfigError
from tests.attacks.world import Guesser, client, harvest_context, pool

OWNED = pool({"chain": 400, "code": 200}, {"chain": 0.5, "code": 0.5})


def test_spends_the_budget_in_the_mix_and_trains_once_a_round():
    context = harvest_context()
    got = Uncertainty(initial=0.4, rounds=3).run(client(OWNED, 100), OWNED, context)
    assert len(np.unique(got.item)) == 100
    assert (OWNED.family[got.item] == "code").sum() == 50
    assert context.fit.sizes == [40, 60, 80]


def test_asks_where_the_student_is_least_sure():
    """The student is surest of large numbers, so what it asks for after the random part is small for its family."""
    got = Uncertainty(initial=0.2, rounds=1, candidates=100).run(client(OWNED, 100), OWNED, harvest_context())
    first, later = set(got.item[:20]), got.item[20:]
    for family, start in (("chain", 0), ("code", 400)):
        mine = sorted(i for i in later if OWNED.family[i] == family)
        smallest = [i for i in range(start, start + 100) if i not in first][: len(mine)]
        assert mine == smallest


def test_scores_no_more_candidates_than_it_says():
    context = harvest_context()
    Uncertainty(initial=0.5, rounds=1, candidates=2).run(client(OWNED, 40), OWNED, context)
    assert context.student().temperatures == {0.0}
    assert len(context.student().scored) == 40  # 2 for each of the 20 prompts left to ask


def test_trains_nothing_where_there_is_no_choice():
    context = harvest_context()
    small = pool({"chain": 20, "code": 20})
    got = Uncertainty(rounds=2, initial=0.5, candidates=1).run(client(small, 40), small, context)
    assert len(np.unique(got.item)) == 40
    assert context.fit.sizes == []


@pytest.mark.parametrize("measure", ["entropy", "least_confidence"])
def test_measures_are_means_over_the_tokens_looked_at(measure):
    got = uncertainty(Guesser(), ["3", "0", "9"], measure, max_tokens=4)
    per_token = np.array([1 / 4, 1.0, 1 / 10]) * (1 if measure == "entropy" else 2)
    np.testing.assert_allclose(got, per_token, rtol=1e-6)


@pytest.mark.parametrize(
    "field", [{"initial": 0.0}, {"initial": 1.0}, {"rounds": 0}, {"candidates": 0}, {"max_tokens": 0}]
)
def test_fields_out_of_range(field):
    with pytest.raises(ConfigError, match=next(iter(field))):
        Uncertainty(**field)


def test_unknown_measure_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'entropy'"):
        Uncertainty(measure="entropi")
