"""Which items a cell is scored on."""

from dataclasses import replace
from functools import cache

from experiments.stages.prompts import draw, scored_items
from experiments.stages.settings import Measure
from tasks.reasoning_gym import ReasoningGym

HARDER = {"chain_sum": {"min_terms": 6, "max_terms": 7}}


@cache
def task():
    return ReasoningGym(datasets={"chain_sum": {}, "needle_haystack": {}}, harder=HARDER)


def test_a_family_without_harder_items_is_left_out_of_them():
    found = scored_items(task(), replace(Measure(), heldout=2, harder=3), 0)
    assert [item.family for item in found["heldout"]] == ["chain_sum"] * 2 + ["needle_haystack"] * 2
    assert [item.family for item in found["harder"]] == ["chain_sum"] * 3


def test_nothing_is_drawn_of_a_family_that_is_not_asked_for():
    assert {item.family for item in draw(task(), "train", {"chain_sum": 2, "needle_haystack": 0}, 0)} == {"chain_sum"}
