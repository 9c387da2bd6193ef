from dataclasses import replace

import pytest

from experiments.campaign.measure.key import Key
from experiments.campaign.measure.policy_summary import PolicySummary, TransferRecord
from experiments.campaign.report.naming import amount, amount_with_interval, in_percent, percent, percent_with_interval
from experiments.campaign.report.sentences import base_rates, best_detector, merged, outcome, seeds_caveat, sentences
from experiments.measure.estimate import Estimate


def policy(name, seeds=(0,), transfer=(), **numbers):
    """A summary with the given numbers; a tuple is a value with its interval."""
    measured = {Key("attack_accounts"): Estimate(10.0)}
    for measure, number in numbers.items():
        key = Key(*measure.split("__")) if "__" in measure else Key(measure)
        measured[key] = Estimate(*number) if isinstance(number, tuple) else Estimate(number)
    return PolicySummary(name, tuple(seeds), measured, tuple(transfer), (), (), ())


def record(share, extrapolated=False):
    return TransferRecord("reasoning", "chain", share, extrapolated, "answers")


LINKING = policy(
    "linking",
    transfer=[record(Estimate(0.45, 0.41, 0.49))],
    usable=3.2e6,
    planned=16e6,
    usable_share=0.2,
    honest_banned=212.0,
    honest_lost=1030.0,
    dollars_per_usable=0.031,
)
NONE = policy("none", usable=16e6, planned=16e6, usable_share=1.0, dollars_per_usable=0.0124)


def test_the_end_of_a_campaign_beside_the_undefended_run():
    assert outcome(LINKING, NONE) == (
        "Under linking the campaign ends at 3.2 million of 16.0 million exchanges (20 %), 45 % [41, 49] of reasoning "
        "transferred, 212 honest accounts banned and 1,030 lost to verification; a usable exchange costs $0.031; undefended "
        "it ends at 16.0 million, of which this is 20 %, at $0.012 each."
    )


def test_alone_there_is_nothing_to_compare_with():
    assert "undefended" not in outcome(LINKING, None).lower()
    assert outcome(NONE, None).startswith(
        "Undefended, the campaign ends at 16.0 million of 16.0 million exchanges (100 %), 0"
    )


def test_extrapolation_and_unknown_transfer_are_said():
    far = replace(LINKING, transfer=(record(Estimate(0.45, 0.41, 0.49), True),))
    assert "45 % [41, 49] of reasoning (extrapolated) transferred" in outcome(far, None)
    unknown = replace(LINKING, transfer=(record(Estimate(None, reason="no curve")),))
    assert "transfer of reasoning unknown" in outcome(unknown, None)


def test_nothing_harvested_has_no_price():
    empty = policy("ban", usable=0.0, planned=100.0, usable_share=0.0)
    text = outcome(empty, NONE)
    assert "ends at 0 of 100 exchanges (0 %)" in text
    assert "nothing usable was harvested" in text
    assert outcome(LINKING, replace(NONE, measured=dict(empty.measured))).endswith("costs $0.031.")


def test_a_campaign_without_attackers():
    quiet = policy("linking", attack_accounts=0.0, honest_accounts=5000.0, honest_banned=3.0, honest_lost=0.0)
    assert outcome(quiet, None) == (
        "Under linking nobody attacks: of 5,000 honest accounts 3 are banned, 0 lost to verification."
    )


def test_base_rates_are_carried_over_in_the_conditional():
    harmful = policy("linking", honest_banned_share=(0.003, 0.0026, 0.0034), honest_lost_share=(0.0, 0.0, 0.0001))
    assert base_rates(harmful) == (
        "At the rates under linking, 10 million honest accounts would see 30,000 [26,000, 34,000] banned and 0 "
        "[0, 1,000] lost to verification."
    )
    assert base_rates(policy("linking", honest_banned_share=0.0, honest_lost_share=0.0)) == ""
    assert base_rates(policy("linking")) == ""


def test_the_best_detector_at_the_least_rate_there_are_accounts_for():
    watched = {
        "tpr_1e-02__detector__window": 0.9,
        "tpr_1e-02__detector__linker": 0.8,
        "tpr_1e-03__detector__window": (0.5, 0.4, 0.6),
        "tpr_1e-03__detector__linker": (0.7, 0.6, 0.8),
        "tpr_1e-04__detector__linker": (None,),
        "false_alarms__detector__any": 0.01,
        "false_alarms_hard__detector__any": 0.06,
    }
    text = best_detector(policy("full", **watched))
    assert text.startswith(
        "Under full, linker catches 70 % [60, 80] of attack accounts at a false-alarm rate of 0.1 %, the most of 2"
    )
    assert text.endswith("fall on 1 % of honest accounts and on 6 % of those whose use looks like an attacker's.")
    assert best_detector(policy("full")) == ""


def test_merged_groups_are_told_where_there_are_several_operations():
    numbers = {"merged": 3.0, "clusters": 8.0, "planned__operation__a": 1.0}
    assert merged(policy("ip_only", **numbers)) == ""
    two = policy("ip_only", **numbers, planned__operation__b=1.0)
    assert merged(two) == "Under ip only, 3 of 8 groups found hold accounts of several operations."


def test_what_the_seeds_allow():
    assert "nothing here says how much campaigns differ" in seeds_caveat([LINKING, NONE])
    several = seeds_caveat([replace(LINKING, seeds=(0, 1, 2))])
    assert "means over 3 seeds" in several
    assert "no confidence interval" in several
    mixed = seeds_caveat([replace(LINKING, seeds=(0, 1)), NONE])
    assert "1 to 2 seeds" in mixed
    assert "Where there is one seed" in mixed


def test_the_mapping_is_said_only_with_transfer():
    assert "One exchange is one query." in sentences([LINKING], "One exchange is one query.")
    assert "One exchange is one query." not in sentences([NONE], "One exchange is one query.")


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0 %"), (0.204, "20 %"), (0.0314, "3.1 %"), (0.00307, "0.31 %"), (1.0, "100 %")]
)
def test_percent(value, text):
    assert percent(value) == text


def test_spelling():
    assert (amount(1030.4), amount(999_499), amount(999_500)) == ("1,030", "999,499", "1.0 million")
    assert percent_with_interval(Estimate(0.45, 0.41, 0.49)) == "45 % [41, 49]"
    assert percent_with_interval(Estimate(None)) == "–"
    assert amount_with_interval(Estimate(9e3, 8e3, 1e4)) == "9,000 [8,000, 10,000]"
    assert amount_with_interval(Estimate(9e3, 9e3, 9e3)) == "9,000"
    assert in_percent(Estimate(0.69234, 0.00123456, 1e-7)) == Estimate(69.2, 0.12, 0.0)
