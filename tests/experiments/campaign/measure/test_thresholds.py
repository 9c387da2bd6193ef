"""What thresholds trade: against plain counting, at the ends, and beside the shares that are measured elsewhere."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from experiments.campaign.measure.detection import curve
from experiments.campaign.measure.key import Key
from experiments.campaign.measure.policy_summary import measures
from experiments.campaign.measure.roc import tpr_at
from experiments.campaign.measure.thresholds import LADDER, at_rate, sweep
from tests.experiments.campaign.synthetic import campaign


@pytest.fixture(scope="module", params=[0, 1, 2])
def result(request):
    return campaign("linking", request.param, operations={"alpha": 50, "beta": 20}, grip=0.6, honest=500)


def test_every_threshold_is_what_counting_gives(result):
    swept = sweep(result, "window")
    rows = list(result.accounts.iter_rows(named=True))
    for i in np.linspace(0, len(swept.threshold) - 1, 25).astype(int):
        over = [r for r in rows if r["score_window"] is not None and r["score_window"] >= swept.threshold[i]]
        assert swept.honest[i] == sum(not r["operation"] for r in over)
        assert swept.hard[i] == sum(r["hard_negative"] for r in over)
        assert swept.attack[i] == sum(bool(r["operation"]) for r in over)
        assert swept.usable[i] == sum(r["distil_usable"] for r in over if r["operation"])


def test_a_looser_threshold_finds_more_and_lets_less_pass(result):
    points = [at_rate(sweep(result, "linker"), rate) for rate in LADDER]
    known = [(rate, p) for rate, p in zip(LADDER, points, strict=True) if p.caught.value is not None]
    assert len(known) > 5
    for rate, point in known:
        assert point.false_alarms.value <= rate
        assert point.caught.low <= point.caught.value <= point.caught.high
    for (_, a), (_, b) in pairwise(known):
        assert a.caught.value <= b.caught.value
        assert a.hard.value <= b.hard.value
        assert a.passing.value >= b.passing.value


def test_caught_is_what_the_roc_has(result):
    for rate in LADDER:
        roc, own = tpr_at(curve(result, "linker"), rate), at_rate(sweep(result, "linker"), rate).caught
        assert (own.value is None) == (roc.value is None)
        if own.value is not None:
            assert tuple(own[:3]) == pytest.approx(tuple(roc[:3]))


def test_in_force_is_read_off_the_alarms(result):
    attack = result.accounts.filter(pl.col("operation") != "")
    measured = measures(result)
    quiet = attack.filter(~pl.col("alarm_window"))["distil_usable"].sum() / attack["distil_usable"].sum()
    assert measured[Key("passing", "detector", "window")].value == pytest.approx(quiet)
    never = attack.filter(pl.col("first_alarm_day").is_null())["distil_usable"].sum() / attack["distil_usable"].sum()
    assert measured[Key("passing", "detector", "any")].value == pytest.approx(never)
    others = [r for r in result.accounts.iter_rows(named=True) if not r["operation"] and not r["hard_negative"]]
    share = np.mean([r["alarm_window"] for r in others])
    assert measured[Key("false_alarms_other", "detector", "window")].value == pytest.approx(share)


@pytest.mark.parametrize(
    ("given", "known"),
    [({"operations": {}}, False), ({"honest": 0}, False), ({"rate": 0.0}, True)],
    ids=["nobody attacks", "nobody honest", "nothing usable"],
)
def test_without_a_side_there_is_no_curve(given, known):
    found = sweep(campaign(grip=0.5, **given), "linker")
    assert (found is not None) == known
    point = at_rate(found, 0.1)
    assert point.passing.value is None
    assert point.passing.reason
    assert (point.caught.value is not None) == known


def test_accounts_that_were_never_judged_are_over_no_threshold(result):
    blind = result.accounts.with_columns(pl.lit(None, pl.Float64).alias("score_linker"))
    found = sweep(replace(result, accounts=blind), "linker")
    assert found.threshold.tolist() == [np.inf]
    point = at_rate(found, 0.5)
    assert (point.caught.value, point.false_alarms.value, point.passing.value) == (0.0, 0.0, 1.0)
    assert point.threshold.value is None
