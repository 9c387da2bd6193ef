"""Reviewers' work: what can be read off the tables of a simulation, against what its ladder really did."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import polars as pl
import pytest

from defenses.admission.detector import Detector, Suspicion
from experiments.campaign.measure.key import Key
from experiments.campaign.measure.policy_summary import measures
from experiments.campaign.measure.reviewing import Terms, queues, reviewing, terms_of, waiting
from experiments.campaign.world.climb import Climb
from experiments.campaign.world.simulation import Simulation
from tests.experiments.campaign.synthetic import campaign
from tests.experiments.campaign.tiny import campaign as tiny
from tests.experiments.campaign.tiny import operation, policy


@dataclass(frozen=True)
class Quarters(Detector):
    """Finds every account that was ever served in one of four groups, day after day."""

    name: ClassVar[str] = "quarters"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "arithmetic"

    every_hours: float = 24.0

    def fit(self, benign, red_team, rng):
        return {}

    def watch(self, requests, output_tokens, state):
        state.memory.setdefault("seen", set()).update(np.unique(requests.account).tolist())

    def examine(self, state, now):
        who = np.array(sorted(state.memory["seen"]), np.int32)
        guilty = who % 3 == 0
        return Suspicion(who, np.where(guilty, 2.0, 0.5), guilty, np.where(guilty, who % 4, -1).astype(np.int32))


def simulate(monkeypatch, **ladder):
    """A campaign; its groups with anybody left that wait after each review; and how many were given up by then."""
    left, given_up = [], []
    review = Climb._review

    def told(self, now, days):
        patience = 86_400.0 * self.ladder.patience_days
        late = [f for f in self._found if np.isinf(f.waits_until) and f.time + patience < now]
        given_up.append(sum(self._size(found) > 0 for found in late))
        done = review(self, now, days)
        left.append(sum(np.isinf(found.waits_until) and self._size(found) > 0 for found in self._found))
        return done

    monkeypatch.setattr(Climb, "_review", told)
    detectors = {"quarters": Quarters()}
    terms = {"reviews_per_day": 1.0, "patience_days": 2.0, "delay_hours": 0.0, **ladder}
    world = tiny({"lab": operation(days=8.0)}, days=8.0, policy=policy("log", detectors=detectors, **terms))
    result = Simulation(world, 1).run(lambda *_: None)
    config = {"policy": {"ladder": {name: terms[name] for name in terms}}}
    return replace(result, facts={**result.facts, "config": config}), left, sum(given_up)


@pytest.mark.parametrize("cluster", ["ban_cluster", "log"])
@pytest.mark.parametrize("per_day", [0.4, 1.0, 1.7, 3.0, 200.0])
def test_bounds_hold_what_the_ladder_did(per_day, cluster, monkeypatch):
    result, left, given_up = simulate(monkeypatch, reviews_per_day=per_day, cluster=cluster)
    assert result.clusters.height > 8
    terms = terms_of(result)
    most = waiting(queues(result, terms))["waiting"].to_list()
    assert len(most) == len(left) == 8
    assert all(real <= bound for real, bound in zip(left, most, strict=True))
    found = measures(result)
    assert found[Key("waiting_most")].value == max(most)
    end = result.epochs["day"].max()
    late = result.clusters.filter(pl.col("day") + terms.patience < end).height
    share = found[Key("given_up_share")]
    assert share.low * late <= given_up + 1e-9
    assert given_up <= share.high * late + 1e-9
    if per_day == 200.0:
        assert max(most) == share.value == 0.0
    if per_day == 0.4:
        assert share.value > 0.5
        assert max(left) > 0
    assert found[Key("reviews")].value == result.epochs["reviews"].sum() <= math.ceil(per_day * 8 + 1)


def test_a_group_that_holds_somebody_to_the_end_is_certain(monkeypatch):
    result, _, given_up = simulate(monkeypatch, reviews_per_day=0.0)
    share = reviewing(result)[Key("given_up_share")]
    assert given_up
    assert share.value == share.high == 1.0
    assert share.low <= share.value


def test_a_day_is_added_up_from_its_epochs():
    base = campaign("linking", grip=1.0, days=4)
    hours = base.epochs.with_columns((pl.col("day") / 2).alias("day"), pl.lit(3).alias("reviews"))
    found = reviewing(replace(base, epochs=hours))
    assert found[Key("reviews")].value == 12
    assert found[Key("reviews_most")].value == 6
    assert found[Key("reviews_per_day")].value == pytest.approx(6.0)


def test_what_is_not_told_is_blank_with_a_reason():
    base = campaign("linking", grip=1.0)
    found = reviewing(base)
    assert found[Key("waiting_most")].value is None
    assert "configuration" in found[Key("waiting_most")].reason
    none = reviewing(replace(base, clusters=base.clusters.clear()))
    assert none[Key("given_up_share")].reason == "no group was found"
    assert none[Key("groups_per_day")].value == 0.0


def test_a_part_of_a_review_is_kept_and_no_more():
    days = [1.0, 2.0, 3.0]
    base = campaign("linking", days=3)
    epochs = base.epochs.with_columns(pl.Series("reviews", [0, 0, 1]))
    groups = pl.DataFrame({"provider": ["north"], "day": [1.0]})
    lines = queues(replace(base, epochs=epochs, clusters=groups), Terms(0.4, 9.0, 0.0))["north"]
    assert [line.day for line in lines] == days
    assert [line.waiting for line in lines] == [1, 1, 0]
