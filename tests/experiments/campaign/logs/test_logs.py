"""Request logs: a simulated one gives the alarms of its simulation, and what cannot be read is refused by column and row."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from configs.errors import ConfigError
from defenses.admission.linking.linker import Linker
from defenses.admission.windows.behaviour import Behaviour
from defenses.admission.windows.mmd_window import MMDWindow
from experiments.campaign.config.campaign import Past
from experiments.campaign.config.ladder import Ladder
from experiments.campaign.config.policy import Policy
from experiments.campaign.logs.alarm_tables import sentences_of, tables_of
from experiments.campaign.logs.export import export
from experiments.campaign.logs.log_report import write_log_report
from experiments.campaign.logs.replay import replay
from experiments.campaign.logs.request_log import Numbering, read
from tests.experiments.campaign.tiny import Busy, campaign

LINKED = {"bucket_hours": 24.0, "memory_hours": 72.0, "every_hours": 24.0, "least": 3}
DETECTORS = {
    "mmd_window": MMDWindow(window=5, quantile=0.9, draws=100, reference=300, every_hours=48.0),
    "linker": Linker(constraints=("payment", "network", "fingerprint"), **LINKED),
    "busy": Busy(every_hours=24.0, most=40),
}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    policy = Policy("told", detectors=DETECTORS, ladder=Ladder(rungs=("log",), cluster="log"))
    world = campaign(policy=policy, past=Past(accounts=200, days=2.0, red_team=27))
    result, files = export(world, tmp_path_factory.mktemp("log") / "log.parquet")
    return world, result, files["first"]


@pytest.fixture(scope="module")
def found(simulated):
    world, _, path = simulated
    return replay(path, DETECTORS, world)


def test_a_simulated_log_gives_the_alarms_of_the_simulation(simulated, found):
    accounts = simulated[1].accounts.with_columns(pl.col("account").cast(pl.String))
    for name in DETECTORS:
        there = set(accounts.filter(pl.col(f"alarm_{name}"))["account"])
        assert there == set(found.alarms.filter(pl.col("detector") == name)["account"])
        assert 0 < len(there) < accounts.height, name
    first = dict(accounts.drop_nulls("first_alarm_day").select("account", "first_alarm_day").iter_rows())
    assert first == dict(found.alarms.group_by("account").agg(pl.col("day").min()).iter_rows())
    assert found.groups["size"].to_list() == simulated[1].clusters["size"].to_list()


def test_tables_count_what_the_labels_say(found, tmp_path):
    tables = {table.name: table for table in tables_of(found)}
    assert {"log_alarms", "log_known", "log_kinds", "log_agreement"} <= set(tables)
    known = next(row for row in tables["log_known"].rows if row["detector"] == "busy")
    alarmed = found.accounts.filter(pl.col("alarm_busy"))
    share = (alarmed["label"] == "lab").mean()
    assert known["precision"].value == pytest.approx(100 * share, rel=0.01)
    assert known["precision"].low < known["precision"].value <= known["precision"].high
    pair = next(r for r in tables["log_agreement"].rows if (r["detector"], r["other"]) == ("linker", "busy"))
    assert pair["both"] + pair["second"] == alarmed.height
    report = write_log_report(found, tmp_path, "seen")
    assert pl.read_csv(report.files["alarms"]).height == found.alarms.height
    assert any("busy would have alarmed" in sentence for sentence in sentences_of(found))


def test_a_share_of_the_log_is_not_judged_and_needs_no_past(simulated):
    world, _, path = simulated
    detectors = {**DETECTORS, "behaviour": Behaviour()}
    found = replay(path, detectors, replace(world, seed=5), "0.3")
    assert found.begins == 86400.0
    assert found.judged == int((found.log.time >= 86400.0).sum()) < len(found.log)
    assert found.alarms["day"].min() > 1.0
    assert [one.detector for one in found.left_out] == ["behaviour"]


def test_what_lacks_its_column_is_left_out(simulated, tmp_path):
    world, _, path = simulated
    pl.read_parquet(path).drop("prompt", "payment", "label").write_csv(tmp_path / "log.csv")
    found = replay(tmp_path / "log.csv", {**DETECTORS, "network": Linker(constraints=("network",), **LINKED)}, world)
    assert found.detectors == ("network",)
    assert {one.detector: one.why for one in found.left_out} == {
        "mmd_window": "needs prompt",
        "linker": "needs payment",
        "busy": "needs prompt, payment",
    }
    assert any("no labels" in sentence for sentence in sentences_of(found))


def test_times_are_utc_and_ordered(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(
        "time,account\n2026-01-02T03:00:00Z,b\n2026-01-02T03:00:00+02:00,a\n2026-01-02 02:00:00.5,a\n1767312060,c\n"
    )
    log = read(path, Numbering())
    assert [log.names[i] for i in log.account] == ["c", "a", "a", "b"]
    assert log.time.tolist() == [60.0, 3600.0, 7200.5, 10800.0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,account\n1,a\nnoon,b\n", "column time, row 2"),
        ("time,account\n1700000000000,a\n", "1970 to 2100"),
        ("time\n1\n", "lacks the column 'account'"),
        ("time,account,label\n1,a,x\n2,a,y\n", "column label, row 2"),
        ("time,account,input_tokens\n1,a,1.5\n", "column input_tokens, row 1"),
        ("time,account,output_tokens\n1,a,nan\n", "column output_tokens, row 1"),
        ("time,account,prompt\n1,a,\n", "column prompt, row 1"),
        ("time,account,status\n1,a,429\n", "answered"),
        ("time,account\n", "holds no request"),
        ("time,time,account\n1,1,a\n", "more than once"),
    ],
)
def test_a_value_that_cannot_be_is_named(text, said, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read(path, Numbering())


def test_what_is_no_parquet_is_refused(tmp_path):
    path = tmp_path / "log.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ConfigError, match="cannot be read as parquet"):
        read(path, Numbering())
    pl.DataFrame({"time": [1.0], "account": [["a"]]}).write_parquet(path)
    with pytest.raises(ConfigError, match="must hold plain values"):
        read(path, Numbering())
