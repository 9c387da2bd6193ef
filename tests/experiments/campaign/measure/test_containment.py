"""Time to contain, on tables made by hand."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from experiments.campaign.measure.containment import containment
from experiments.campaign.measure.key import Key
from tests.experiments.campaign.synthetic import campaign

DAYS = 10


def with_tables(usable, gone, *, answered=None, planned=1000, start=0.0, days=DAYS):
    """One operation with so many usable exchanges a day and accounts gone on these days (None: never)."""
    answered = usable if answered is None else answered
    base = campaign(days=DAYS, operations={"alpha": 1}, honest=1)
    head = {"provider": "north", "operation": "alpha", "capability": "coding", "planned": planned}
    harvest = pl.DataFrame(
        [
            head | {"epoch": e, "sent": 50, "refused": 0, "usable": u, "hidden": a - u, "altered": 0, "contaminated": 0}
            for e, (u, a) in enumerate(zip(usable, answered, strict=True))
        ]
    )
    accounts = pl.DataFrame(
        {
            "operation": ["alpha"] * len(gone),
            "banned_day": pl.Series(gone, dtype=pl.Float64),
            "lost_day": pl.Series([None] * len(gone), dtype=pl.Float64),
        }
    )
    facts = {
        **base.facts,
        "operations": {"alpha": {"days": days}},
        "config": {"operations": [["alpha", {"start_day": start}]]},
    }
    return replace(base, harvest=harvest, accounts=accounts, facts=facts)


def told(result, goal):
    found = containment(result)
    return tuple(
        found[Key(f"{what}_{goal}", "operation", "alpha")].value for what in ("days_to", "exchanges_to", "contained")
    )


STEADY = [10] * DAYS


def test_half_and_nearly_all_of_the_accounts():
    result = with_tables(STEADY, [2.0, 3.0, None, 5.0])
    assert told(result, "gone_50") == (3.0, 30.0, 1.0)
    assert told(result, "gone_90") == (None, None, 0.0)
    assert told(with_tables(STEADY, [2.0, 3.0, 9.0, 5.0]), "gone_90") == (9.0, 90.0, 1.0)
    assert told(with_tables(STEADY, [4.0]), "gone_50") == (4.0, 40.0, 1.0)


def test_it_counts_from_the_first_answered_exchange():
    late = with_tables([0, 0, *[10] * 8], [6.0, 6.0], start=2.0, days=8)
    assert told(late, "gone_50") == (4.0, 40.0, 1.0)
    hidden = with_tables([0, 0, *[10] * 8], [6.0, 6.0], answered=[0, 5, *[10] * 8])
    assert told(hidden, "gone_50") == (5.0, 40.0, 1.0)


@pytest.mark.parametrize(
    ("usable", "planned", "days", "expected"),
    [
        ([10, 10, 10, 0, 0, 0, 0, 0, 0, 0], 1000, 10, (3.0, 30.0, 1.0)),
        ([10, 0, 10, 10, 0, 0, 0, 0, 0, 0], 1000, 10, (4.0, 30.0, 1.0)),
        ([10, 10, 10, 0, 0, 0, 0, 0, 0, 0], 30, 10, (None, None, 0.0)),
        ([10, 10, 10, 0, 0, 0, 0, 0, 0, 0], 1000, 3, (None, None, 0.0)),
        (STEADY, 1000, 10, (None, None, 0.0)),
        ([*[10] * 9, 0], 1000, 10, (9.0, 90.0, 1.0)),
    ],
    ids=["stopped", "after a pause", "plan carried out", "plan at its end", "never", "the last day alone"],
)
def test_when_the_harvest_stops(usable, planned, days, expected):
    assert told(with_tables(usable, [None], planned=planned, days=days), "stop") == expected


def test_without_an_exchange_there_is_nothing_to_count_from():
    found = containment(with_tables([0] * DAYS, [2.0]))
    assert {e.value for e in found.values()} == {None}
    assert {e.reason for e in found.values()} == {"no exchange was answered"}


def test_operations_together_and_one_by_one():
    result = campaign("linking", operations={"alpha": 60, "beta": 30}, grip=1.0)
    found = containment(result)
    days = [found[Key("days_to_gone_50", "operation", name)].value for name in ("alpha", "beta")]
    assert min(days) <= found[Key("days_to_gone_50")].value <= max(days)
    assert found[Key("exchanges_to_gone_50")].value <= result.harvest["usable"].sum()
