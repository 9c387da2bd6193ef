from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from configs.errors import ConfigError
from experiments.campaign.measure.detection import days_to_alarm
from experiments.campaign.measure.harvested import banned_by_day, series
from experiments.campaign.measure.key import COLUMNS, Key, checked
from experiments.campaign.measure.policy_summary import measures
from tests.experiments.campaign.synthetic import campaign


@pytest.fixture(scope="module")
def result():
    return campaign("linking", operations={"alpha": 80, "beta": 40}, providers=("north", "south"), grip=0.7, honest=600)


@pytest.fixture(scope="module")
def measured(result):
    return measures(result)


def rows(frame, **where):
    return [row for row in frame.iter_rows(named=True) if all(row[key] == value for key, value in where.items())]


def test_the_synthetic_tables_agree(result):
    in_all = result.harvest["usable"].sum()
    assert in_all == result.accounts["distil_usable"].sum() == result.epochs["distil_usable"].sum() > 0
    attack = result.accounts.filter(pl.col("operation") != "")
    assert attack["banned_day"].count() == result.epochs["attack_banned"].sum() > 0
    spent = sum(sum(parts.values()) for parts in result.facts["dollars"].values())
    assert result.epochs["attack_dollars"].sum() == pytest.approx(spent)


def test_harvest_in_all_and_by_operation(result, measured):
    planned = {"alpha": 2 * int(80 * 14 * 20 * 0.4), "beta": 2 * int(40 * 14 * 20 * 0.4)}
    for name, plan in planned.items():
        own = sum(row["usable"] for row in rows(result.harvest, operation=name))
        assert measured[Key("planned", "operation", name)].value == plan
        assert measured[Key("usable", "operation", name)].value == own
        assert measured[Key("usable_share", "operation", name)].value == pytest.approx(own / plan)
        dollars = result.facts["dollars"][name]["all"]
        assert measured[Key("dollars_per_usable", "operation", name)].value == pytest.approx(dollars / own)
    assert measured[Key("planned")].value == sum(planned.values())
    by_capability = [measured[Key("usable", "capability", c)].value for c in ("coding", "reasoning")]
    assert sum(by_capability) == measured[Key("usable")].value == result.harvest["usable"].sum()
    assert measured[Key("last_day")].value == 14.0


def test_burnt_accounts_and_what_they_brought_in_before(result, measured):
    attack = [row for row in result.accounts.iter_rows(named=True) if row["operation"]]
    banned = [row["distil_usable"] for row in attack if row["banned_day"] is not None]
    burnt = [row for row in attack if row["banned_day"] is not None or row["lost_day"] is not None]
    free = [r for r in attack if r["acted_day"] is None and r["banned_day"] is None and r["lost_day"] is None]
    assert measured[Key("attack_accounts")].value == len(attack) == 120
    assert measured[Key("burnt")].value == len(burnt) > len(banned)
    assert measured[Key("burnt_share")].value == pytest.approx(len(burnt) / 120)
    assert measured[Key("banned_harvest")].value == pytest.approx(np.mean(banned))
    assert measured[Key("banned_harvest_median")].value == np.median(banned)
    assert measured[Key("banned_harvest_total")].value == sum(banned)
    assert measured[Key("untouched_harvest_total")].value == sum(row["distil_usable"] for row in free)


def test_harm_is_counted_on_honest_accounts_alone(result, measured):
    honest = [row for row in result.accounts.iter_rows(named=True) if not row["operation"]]
    banned = sum(row["banned_day"] is not None for row in honest)
    gone = sum(row["banned_day"] is not None or row["lost_day"] is not None for row in honest)
    assert measured[Key("honest_accounts")].value == 600
    assert measured[Key("honest_banned")].value == banned > 0
    share = measured[Key("honest_banned_share")]
    assert share.value == pytest.approx(banned / 600)
    assert 0 < share.low < share.value < share.high < 1
    assert measured[Key("honest_gone")].value == gone
    sums = {c: result.epochs[f"honest_{c}"].sum() for c in ("sent", "served", "refused", "altered", "hidden")}
    assert measured[Key("honest_refused")].value == pytest.approx(sums["refused"] / sums["sent"])
    assert measured[Key("honest_altered")].value == pytest.approx(sums["altered"] / sums["served"])
    assert measured[Key("honest_hidden")].value == pytest.approx(sums["hidden"] / sums["served"])


def test_alarms_by_detector_and_kind(result, measured):
    table = list(result.accounts.iter_rows(named=True))
    attack, honest = [r for r in table if r["operation"]], [r for r in table if not r["operation"]]
    hard = [r for r in honest if r["hard_negative"]]
    for what, group in (("caught", attack), ("false_alarms", honest), ("false_alarms_hard", hard)):
        assert measured[Key(what, "detector", "window")].value == pytest.approx(
            np.mean([r["alarm_window"] for r in group])
        )
        ever = np.mean([r["first_alarm_day"] is not None for r in group])
        assert measured[Key(what, "detector", "any")].value == pytest.approx(ever)
    audit = [r for r in honest if r["kind"] == "audit"]
    assert measured[Key("accounts", "kind", "audit")].value == len(audit)
    assert measured[Key("hard", "kind", "audit")].value == 1
    assert measured[Key("hard", "kind", "chat")].value == 0
    assert Key("accounts", "kind", "distillation") not in measured
    alarmed = np.mean([r["first_alarm_day"] is not None for r in audit])
    assert measured[Key("alarmed", "kind", "audit")].value == pytest.approx(alarmed)


def accounts_with(waits, opened=0.0):
    n = len(waits)
    days = [None if w is None else opened + w for w in waits]
    columns = {"operation": ["a"] * n, "opened_day": [opened] * n, "first_alarm_day": pl.Series(days, dtype=pl.Float64)}
    return pl.DataFrame(columns)


@pytest.mark.parametrize(
    ("waits", "median"),
    [
        ([1, 2, 3], 2.0),
        ([1, 2, None], 2.0),
        ([1, None, None], None),
        ([1, 3, 5, None], 4.0),
        ([1, 3, None, None], None),
    ],
)
def test_an_alarm_that_never_came_is_later_than_any(waits, median):
    assert days_to_alarm(accounts_with(waits)).value == median


def test_time_before_the_campaign_does_not_count():
    assert days_to_alarm(accounts_with([31.0, 32.0, 33.0], opened=-30.0)).value == 2.0
    assert days_to_alarm(accounts_with([])).value is None


def clusters(*groups):
    names = ("attackers", "honest", "operations", "main_operation", "main_count", "detector", "acted")
    found = [dict(zip(names, group, strict=True)) for group in groups]
    return pl.DataFrame([{"provider": "north", "day": 1.0, "size": g["attackers"] + g["honest"]} | g for g in found])


def test_purity_merging_and_honest_groups(result):
    found = clusters(
        (30, 10, 1, "alpha", 30, "linker", True),
        (20, 0, 2, "alpha", 12, "linker", True),
        (0, 40, 0, "", 40, "linker", False),
        (10, 0, 1, "beta", 10, "fraudar", False),
    )
    measured = measures(replace(result, clusters=found))
    assert measured[Key("purity", "finder", "linker")].value == pytest.approx((30 + 12 + 0) / 100)
    assert measured[Key("purity", "finder", "fraudar")].value == 1.0
    assert measured[Key("purity")].value == pytest.approx(52 / 110)
    assert measured[Key("merged")].value == 1
    assert measured[Key("merged_share", "finder", "linker")].value == pytest.approx(1 / 3)
    assert measured[Key("honest_only")].value == 1
    assert measured[Key("clusters_acted")].value == 2
    assert measured[Key("cluster_largest", "finder", "linker")].value == 40


def test_completeness_is_the_share_of_an_operation_in_any_group(result, measured):
    for name in ("alpha", "beta"):
        inside = [row["cluster"] >= 0 for row in rows(result.accounts, operation=name)]
        assert measured[Key("completeness", "operation", name)].value == pytest.approx(np.mean(inside))


def test_series_add_up_over_providers(result):
    frame, bans = series(result), banned_by_day(result)
    assert frame["day"].to_list() == [float(day) for day in range(1, 15)]
    assert frame["usable"].to_list()[-1] == result.epochs["distil_usable"].sum()
    assert frame["usable"].is_sorted()
    assert frame["dollars"].to_list()[-1] == pytest.approx(result.epochs["attack_dollars"].sum())
    assert bans["banned"].sum() == result.epochs["attack_banned"].sum()


def test_hours_are_added_up_to_days(result):
    hourly = result.epochs.with_columns((pl.col("day") / 7).alias("day"))
    bans = banned_by_day(replace(result, epochs=hourly))
    assert bans["day"].to_list() == [1.0, 2.0]
    assert bans["banned"].sum() == result.epochs["attack_banned"].sum()


@pytest.mark.parametrize(
    "given", [{"operations": {}}, {"detectors": ()}, {"rate": 0.0}, {"honest": 0}], ids=lambda g: next(iter(g))
)
def test_what_is_not_there_is_blank_with_a_reason(given):
    for key, estimate in measures(campaign(grip=0.6, **given)).items():
        assert estimate.value is None or np.isfinite(estimate.value), key
        assert estimate.value is not None or estimate.reason, key


def test_without_attackers_or_harvest_costs_are_blank():
    for given in ({"operations": {}}, {"rate": 0.0}):
        measured = measures(campaign(**given))
        assert measured[Key("usable")].value == 0
        assert measured[Key("dollars_per_usable")].value is None
        assert measured[Key("last_day")].value is None
    assert measures(campaign(operations={}))[Key("usable_share")].value is None


def test_tables_without_any_column_count_as_empty(result):
    bare = replace(result, clusters=pl.DataFrame(), edges=pl.DataFrame())
    assert checked(bare).edges.schema["weight"] == pl.Float64
    assert measures(bare)[Key("clusters")].value == 0


@pytest.mark.parametrize("table", COLUMNS)
def test_a_missing_column_is_named(result, table):
    column = next(reversed(COLUMNS[table]))
    with pytest.raises(ConfigError, match=rf"campaign\.{table} .*'{column}'"):
        measures(replace(result, **{table: getattr(result, table).drop(column)}))


def test_a_column_of_another_type_is_refused(result):
    with pytest.raises(ConfigError, match=r"campaign\.epochs"):
        measures(replace(result, epochs=result.epochs.with_columns(pl.lit("soon").alias("day"))))


def test_text_may_be_categorical(result, measured):
    names = ("provider", "operation", "kind")
    accounts = result.accounts.with_columns(pl.col(names).cast(pl.Categorical))
    assert measures(replace(result, accounts=accounts)) == measured


def test_a_plan_need_not_be_whole(result):
    harvest = result.harvest.with_columns(pl.col("planned") / 3)
    whole = measures(result)[Key("planned")].value
    assert measures(replace(result, harvest=harvest))[Key("planned")].value == pytest.approx(whole / 3, rel=1e-12)
