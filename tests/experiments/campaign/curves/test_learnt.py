"""What a harvest is worth: against readings of the curves by hand, a loop over days, and orders that must hold."""

from __future__ import annotations

import math
from importlib.resources import files

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.build import from_mapping
from configs.errors import ConfigError
from experiments.campaign.curves.fitted import UNTOUCHED, UNWORKED, USES, WITH_ERRORS, fit_curves
from experiments.campaign.curves.learnt import Exchanges, course, exchanges, moved, over_time
from experiments.campaign.curves.link import FAMILIES, CapabilityLink
from experiments.measure.transfer import POOLED
from tests.experiments.campaign.curve_tables import TRUTH, table

LINK = CapabilityLink(families={"reasoning": "chain", "coding": "code", "mixed": POOLED})
PLAN = 1_000_000.0
CURVES = fit_curves(table(), 20)

counts = st.floats(0, PLAN / 3)


def one(got: Exchanges, link: CapabilityLink = LINK):
    (found,) = moved(link, CURVES, [got])
    return found


def read(family, use, queries):
    return float(CURVES.curves[family, use].at(queries).value)


def test_a_share_of_the_plan_is_the_same_share_of_the_labs_queries():
    found = one(Exchanges("reasoning", PLAN, usable=PLAN / 4))
    assert found.queries == pytest.approx(532)
    assert found.share == pytest.approx(0.25)
    assert found.transfer.value == pytest.approx(read("chain", UNTOUCHED, 532))
    assert (found.family, found.use, found.extrapolated) == ("chain", UNTOUCHED, False)
    assert found.transfer.low <= found.transfer.value <= found.transfer.high


def test_a_ratio_maps_each_exchange_whatever_was_planned():
    link = CapabilityLink(kind="ratio", ratio=0.01, families=LINK.families)
    found = one(Exchanges("coding", 0.0, usable=40_000), link)
    assert found.queries == pytest.approx(400)
    assert math.isnan(found.share)
    assert found.transfer.value == pytest.approx(read("code", UNTOUCHED, 400))
    assert one(Exchanges("coding", PLAN, usable=PLAN), link).extrapolated


def test_a_stated_budget_takes_the_place_of_the_largest_count():
    link = CapabilityLink(lab_queries=1000, families=LINK.families)
    assert one(Exchanges("reasoning", PLAN, PLAN / 2), link).queries == pytest.approx(500)
    assert "1,000 lab queries" in one(Exchanges("reasoning", PLAN, PLAN / 2), link).mapping


def test_the_best_use_follows_what_became_of_the_answers():
    reasoning = one(Exchanges("reasoning", PLAN, usable=0, hidden=PLAN))
    assert reasoning.transfer.value == pytest.approx(0, abs=1e-6)
    coding = one(Exchanges("coding", PLAN, usable=PLAN / 10, hidden=PLAN / 2))
    assert (coding.use, coding.share) == (UNWORKED, pytest.approx(0.6))
    assert coding.transfer.value == pytest.approx(read("code", UNWORKED, 0.6 * 2128))
    altered = one(Exchanges("reasoning", PLAN, usable=PLAN / 10, altered=PLAN / 2))
    assert (altered.use, altered.share) == (WITH_ERRORS, pytest.approx(0.6))
    assert altered.transfer.value == pytest.approx(read("chain", WITH_ERRORS, 0.6 * 2128))


def test_errors_never_teach_more_than_as_many_right_answers():
    crossed = {("chain", "none"): TRUTH["chain", "none"], ("chain", "random_errors"): lambda q: (q / 2128) ** 0.5}
    curves = fit_curves(table(crossed), 5)
    for share in (0.05, 0.2, 0.6):
        (found,) = moved(LINK, curves, [Exchanges("reasoning", PLAN, 0, altered=share * PLAN)])
        errors, clean = (float(curves.curves["chain", u].at(share * 2128).value) for u in (WITH_ERRORS, UNTOUCHED))
        assert found.transfer.value == pytest.approx(min(errors, clean))
    (found,) = moved(LINK, curves, [Exchanges("reasoning", PLAN, 0.05 * PLAN)])
    assert found.use == UNTOUCHED


def test_nothing_got_moves_nothing_and_nothing_planned_says_nothing():
    nothing = one(Exchanges("mixed", PLAN, 0))
    assert nothing.transfer[:3] == (0, 0, 0)
    assert not nothing.extrapolated
    blank = one(Exchanges("mixed", 0, 0))
    assert blank.transfer.value is None
    assert blank.transfer.reason == "nothing was planned"


def test_a_share_below_the_least_count_is_marked():
    assert one(Exchanges("reasoning", PLAN, PLAN * 32 / 2128)).extrapolated
    assert not one(Exchanges("reasoning", PLAN, PLAN * 34 / 2128)).extrapolated


@given(usable=counts, altered=counts, wrong=st.floats(0.01, 1))
def test_wrong_answers_are_never_a_larger_share_than_was_measured(usable, altered, wrong):
    link = CapabilityLink(families=LINK.families, altered_wrong=wrong)
    found = course(link, CURVES, "reasoning", PLAN, [usable], [0], [altered])
    if list(USES)[int(found.use[0])] == WITH_ERRORS:
        taken = float(found.exchanges[0]) - usable
        assert -1e-6 <= taken <= altered * (1 + 1e-9)
        assert wrong * taken <= CURVES.error_rate * (usable + taken) * (1 + 1e-9)


def test_answers_that_are_all_wrong_help_only_beside_right_ones():
    link = CapabilityLink(families=LINK.families, altered_wrong=1.0)
    assert one(Exchanges("coding", PLAN, usable=0, altered=PLAN), link).transfer.value == 0
    some = course(link, CURVES, "reasoning", PLAN, [0.35 * PLAN], [0], [0.65 * PLAN])
    assert float(some.exchanges[0]) in (pytest.approx(0.35 * PLAN), pytest.approx(0.5 * PLAN))


@given(counts, counts, counts, counts, st.sampled_from(["usable", "hidden", "altered"]), st.floats(0.01, 1))
@settings(max_examples=60)
def test_more_exchanges_never_move_less(usable, hidden, altered, more, what, wrong):
    link = CapabilityLink(kind="ratio", ratio=0.002, families=LINK.families, altered_wrong=wrong)
    before = {"usable": usable, "hidden": hidden, "altered": altered}
    after = before | {what: before[what] + more}
    for capability in ("reasoning", "coding", "mixed"):
        less, greater = (
            course(link, CURVES, capability, PLAN, *([x[n]] for n in ("usable", "hidden", "altered")))
            for x in (before, after)
        )
        assert greater.value[0] >= less.value[0] - 1e-12
        assert 0 <= greater.low[0] <= greater.value[0] <= greater.high[0] <= 1


def harvest(seed=0, days=6):
    rng = np.random.default_rng(seed)
    rows = [
        {
            "epoch": epoch,
            "provider": provider,
            "operation": operation,
            "capability": capability,
            "planned": 100_000 if capability == "reasoning" else 50_000,
            "sent": 5000,
            "refused": 0,
            **{name: int(n) for name, n in zip(("usable", "hidden", "altered"), rng.integers(0, 1000, 3), strict=True)},
            "contaminated": 900,
        }
        for epoch in range(days)
        for provider in ("a", "b")
        for operation in ("one", "two")
        for capability in ("coding", "reasoning")
        if (epoch, capability) != (2, "coding")
    ]
    return pl.DataFrame(rows).sample(fraction=1.0, shuffle=True, seed=1)


def test_a_harvest_is_summed_over_providers_and_days():
    made = harvest()
    own = made.filter((pl.col("operation") == "two") & (pl.col("capability") == "reasoning"))
    found = exchanges(made, "two")
    assert [e.capability for e in found] == ["coding", "reasoning"]
    assert found[1] == ("reasoning", 100_000, own["usable"].sum(), own["hidden"].sum(), own["altered"].sum())


def test_contaminated_answers_do_not_count():
    made = harvest()
    assert exchanges(made.with_columns(contaminated=pl.lit(0)), "one") == exchanges(made, "one")


def test_over_time_each_day_is_what_a_campaign_that_ends_there_would_give():
    made = harvest()
    found = over_time(LINK, CURVES, made, "one", epoch_hours=12)
    for row in found.iter_rows(named=True):
        until = made.filter(pl.col("epoch") < row["day"] * 2)
        end = next(m for m in moved(LINK, CURVES, exchanges(until, "one")) if m.capability == row["capability"])
        assert row["transfer"] == pytest.approx(end.transfer.value)
        assert (row["low"], row["high"]) == pytest.approx((end.transfer.low, end.transfer.high))
        assert (row["use"], row["extrapolated"]) == (end.use, end.extrapolated)
        assert row["queries"] == pytest.approx(end.queries)
    assert found.filter(pl.col("capability") == "coding")["day"].to_list() == [0.5, 1.0, 2.0, 2.5, 3.0]


def test_over_time_nothing_planned_is_null():
    made = harvest().with_columns(planned=pl.lit(0), usable=pl.lit(0), hidden=pl.lit(0), altered=pl.lit(0))
    found = over_time(LINK, CURVES, made, "one", 24)
    assert found["transfer"].null_count() == found.height
    assert not found["extrapolated"].any()


def test_the_words_name_capability_family_scale_and_that_it_is_an_assumption():
    for capability, word in (("reasoning", "chain"), ("mixed", "all families")):
        text = one(Exchanges(capability, PLAN, 1)).mapping
        for part in (capability, word, "2,128 lab queries", "probability 0.3", "assumption"):
            assert part in text
    link = CapabilityLink(kind="ratio", ratio=0.01, families=LINK.families)
    assert "0.01 lab queries" in one(Exchanges("coding", PLAN, 1), link).mapping


def test_the_default_knows_every_capability_of_the_published_campaigns():
    data = pl.read_csv(files("experiments.campaign").joinpath("data", "campaigns.csv").read_bytes())
    named = {name for row in data["capabilities"].drop_nulls() for name in row.split(";")}
    assert named <= set(FAMILIES)
    assert CapabilityLink().families == FAMILIES


def test_it_is_built_from_a_yaml():
    link = from_mapping(CapabilityLink, {"kind": "ratio", "ratio": 0.5, "families": {"coding": "code"}}, "link")
    assert link == CapabilityLink("ratio", 0, 0.5, {"coding": "code"})


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "rate"}, "ratio, share"),
        ({"kind": "ratio"}, "link.ratio"),
        ({"kind": "ratio", "ratio": 0.0}, "link.ratio"),
        ({"kind": "ratio", "ratio": math.inf}, "link.ratio"),
        ({"ratio": 1.0}, "link.ratio"),
        ({"lab_queries": -1}, "link.lab_queries"),
        ({"altered_wrong": 0.0}, "link.altered_wrong"),
        ({"families": {}}, "link.families"),
    ],
)
def test_links_that_cannot_be_are_refused(fields, says):
    with pytest.raises(ConfigError, match=says):
        CapabilityLink(**fields)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: one(Exchanges("codng", PLAN, 1)), "did you mean 'coding'"),
        (lambda: one(Exchanges("coding", PLAN, -1)), "coding.usable"),
        (lambda: one(Exchanges("coding", PLAN, float("nan"))), "coding.usable"),
        (lambda: one(Exchanges("coding", math.inf, 1)), "coding.planned"),
        (lambda: one(Exchanges("coding", 10, 6, 5)), "coding.planned"),
        (lambda: one(Exchanges("tool_use", PLAN, 1), CapabilityLink()), "no measured curve"),
        (lambda: course(LINK, CURVES, "coding", PLAN, [1, 2], [1], [1, 2]), "coding.hidden"),
        (lambda: exchanges(harvest(), "three"), "one, two"),
        (lambda: exchanges(harvest().with_columns(planned=pl.col("epoch")), "one"), "coding.planned"),
        (lambda: over_time(LINK, CURVES, harvest(), "one", 0), "epoch_hours"),
    ],
)
def test_harvests_that_cannot_be_are_refused(call, says):
    with pytest.raises(ConfigError, match=says):
        call()


def test_a_use_that_was_not_measured_is_not_thought_of():
    bare = fit_curves(table({key: truth for key, truth in TRUTH.items() if key[1] == "none"}), 5)
    (found,) = moved(LINK, bare, [Exchanges("coding", PLAN, PLAN / 4, PLAN / 4, PLAN / 4)])
    assert (found.use, found.share) == (UNTOUCHED, 0.25)
