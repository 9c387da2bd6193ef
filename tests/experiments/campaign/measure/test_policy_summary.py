import pytest

from configs.errors import ConfigError
from experiments.campaign.measure.key import Key
from experiments.campaign.measure.policy_summary import TransferRecord, measures, over_seeds, summarise
from experiments.measure.estimate import Estimate
from tests.experiments.campaign.synthetic import campaign, transfers

A, B = Key("a"), Key("b")


def test_seeds_give_mean_and_range():
    joined = over_seeds([{A: Estimate(1.0, 0.5, 1.5)}, {A: Estimate(4.0, 3.0, 5.0)}, {A: Estimate(1.0)}])
    assert joined == {A: Estimate(2.0, 1.0, 4.0)}


def test_one_seed_keeps_its_interval():
    assert over_seeds([{A: Estimate(1.0, 0.5, 1.5)}]) == {A: Estimate(1.0, 0.5, 1.5)}


def test_seeds_that_lack_a_number_are_told():
    joined = over_seeds([{A: Estimate(None, reason="nothing")}, {A: Estimate(2.0), B: Estimate(3.0)}])
    assert joined[A] == Estimate(2.0, reason="measured with 1 of 2 seeds")
    assert joined[B].reason == "measured with 1 of 2 seeds"
    assert over_seeds([{A: Estimate(None, reason="nothing")}] * 2)[A] == Estimate(None, reason="nothing")


def test_policies_keep_their_order_and_seeds_are_sorted():
    results = [campaign("b", 1, honest=50), campaign("a", 0, honest=50), campaign("b", 0, honest=50)]
    first, second = summarise(results, {})
    assert (first.policy, first.seeds, second.policy, second.seeds) == ("b", (0, 1), "a", (0,))
    single = [measures(results[i])[Key("usable")].value for i in (2, 0)]
    assert first.of("usable") == Estimate(sum(single) / 2, min(single), max(single))
    assert first.of("no such measure").value is None
    assert second.names("detector") == ["linker", "window", "any"]


def test_transfer_of_several_seeds_has_the_envelope_of_their_intervals():
    results = [campaign("a", seed, honest=50) for seed in (0, 1)]
    records = [
        TransferRecord("coding", "code", Estimate(0.4, 0.3, 0.6), False, "answers"),
        TransferRecord("coding", "code", Estimate(0.6, 0.55, 0.65), True, "everything"),
    ]
    (summary,) = summarise(results, {("a", i): [record] for i, record in enumerate(records)})
    (joined,) = summary.transfer
    assert joined.transfer == Estimate(0.5, 0.3, 0.65)
    assert joined.extrapolated
    assert joined.use == "answers or everything"


def test_inputs_that_do_not_belong_together_are_refused():
    one = campaign("a", honest=50)
    with pytest.raises(ConfigError, match="at least one"):
        summarise([], {})
    with pytest.raises(ConfigError, match=r"campaign\.preset"):
        summarise([one, campaign("b", honest=50, preset="other")], {})
    with pytest.raises(ConfigError, match="a has it twice"):
        summarise([one, campaign("a", honest=60)], {})
    with pytest.raises(ConfigError, match="no such policy and seed"):
        summarise([one], transfers([campaign("a", 7, honest=50)]))
