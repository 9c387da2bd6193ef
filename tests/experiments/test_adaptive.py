"""Whether an attack answers to the defense is said by its parts, never guessed from a name."""

from __future__ import annotations

import pytest

from experiments.cell_from import cell_from
from experiments.compose.compose import compose_one
from experiments.measure.summary import summarise
from experiments.report.names import is_passive
from tests.experiments.report.cells import one


@pytest.mark.parametrize(
    ("words", "adaptive"),
    [
        ([], False),
        (["attack/recover=[dedup]"], False),
        (["attack/recover=[dedup,verify_answers]"], True),
        (["attack=prefix"], True),
        (["attack=adaptive", "budget.data=2600", "budget.queries=1300"], True),
        (["attack/harvest=uncertainty", "budget.data=2600", "budget.queries=1300"], True),
    ],
)
def test_parts_say_it(words, adaptive):
    assert cell_from(compose_one(words).plain).facts()["adaptive"] is adaptive


def test_a_cell_that_does_not_say_it_is_not_taken_for_passive():
    def passive(**changes):
        return is_passive(summarise([one("none", None, 0.9, 0.99, 1, **changes)]))

    assert passive(adaptive=False)
    assert not passive(adaptive=True)
    assert not passive(adaptive=None, harvest="Random")
