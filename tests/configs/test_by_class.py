"""Stored descriptions are compared by class: a file that was moved since tells no two results apart."""

from __future__ import annotations

from configs.build import by_class, describe
from experiments.campaign.sharing.board import SharingTerms


def test_where_a_class_of_the_project_lies_is_not_compared():
    before = {"defense": {"quota": {"_target_": "defenses.admission.query_quota.QueryQuota", "queries": 5}}, "seed": 1}
    after = {
        "defense": {"quota": {"_target_": "defenses.admission.limits.query_quota.QueryQuota", "queries": 5}},
        "seed": 1,
    }
    assert by_class(before) == by_class(after)
    assert by_class(before)["defense"]["quota"]["queries"] == 5


def test_what_class_it_is_is_compared():
    assert by_class({"_target_": "attacks.harvest.random.Random"}) != by_class(
        {"_target_": "attacks.harvest.random.Other"}
    )


def test_classes_of_others_keep_their_path():
    assert by_class([["mine", {"_target_": "mine.harvest.Random"}]]) == [["mine", {"_target_": "mine.harvest.Random"}]]


def test_a_class_that_was_renamed_is_known_by_its_present_name():
    before = {**describe(SharingTerms()), "_target_": "experiments.campaign.sharing.Exchange"}
    assert by_class(before) == by_class(describe(SharingTerms()))
