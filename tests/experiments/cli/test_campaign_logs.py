"""``moatbench campaign --logs`` from the command line: its files, its references, and what it refuses in one line."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from tests.experiments.cli.test_campaign import SMALL, moatbench

DAY = 86_400.0
RING = 30
"""Accounts that share a card and a client, from the second day on."""


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Three days of 120 accounts of their own, and a ring that is opened on the second day."""
    rng = np.random.default_rng(3)
    rows = []
    for account in range(120 + RING):
        ring = account >= 120
        for _ in range(8):
            rows.append(
                {
                    "time": float(rng.uniform(DAY if ring else 0.0, 3 * DAY)),
                    "account": f"a{account}",
                    "prompt": f"question {rng.integers(40)}",
                    "network": f"10.0.{rng.integers(3) if ring else 10 + account}.7",
                    "payment": "ring" if ring else f"card{account}",
                    "fingerprint": "client" if ring else f"client{account}",
                    "label": "lab" if ring else "honest",
                    "kind": "" if ring else "chat",
                }
            )
    path = tmp_path_factory.mktemp("log") / "requests.csv"
    pl.DataFrame(rows).sort("time").write_csv(path)
    return path


def judge(log, out, *words):
    return moatbench("campaign", *SMALL, f"out={out}", "--logs", str(log), *words)


@pytest.fixture(scope="module")
def judged(log, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    return judge(log, out, "policy=linking", "--reference", "0.34"), out


def test_it_finds_the_ring_and_says_what_it_wrote(judged):
    done, out = judged
    assert done.code == 0, done.err
    assert "linker would have alarmed" in " ".join(done.out.split())
    assert "1,200 rows in" in done.err
    names = {f"log_requests{ending}" for ending in (".md", ".json", "_alarms.csv", "_groups.csv")}
    assert names == {path.name for path in out.iterdir()}
    for name in names:
        assert str(out / name) in done.err


def test_its_files_agree_with_each_other(judged):
    _, out = judged
    alarms = pl.read_csv(out / "log_requests_alarms.csv")
    assert set(alarms["account"]) == {f"a{n}" for n in range(120, 120 + RING)}
    groups = pl.read_csv(out / "log_requests_groups.csv")
    assert groups["size"].max() == RING
    tables = {table["name"]: table for table in json.loads((out / "log_requests.json").read_text())["tables"]}
    (row,) = tables["log_known"]["rows"]
    assert row["detector"] == "linker"
    assert row["recall"]["value"] == row["precision"]["value"] == 100.0
    assert "linker" in (out / "log_requests.md").read_text()


def test_another_log_is_a_reference(log, tmp_path):
    honest = tmp_path / "before.parquet"
    pl.read_csv(log).filter(pl.col("label") == "honest").write_parquet(honest)
    done = judge(log, tmp_path / "out", "policy=linking", "--reference", str(honest), "--name", "mine")
    assert done.code == 0, done.err
    assert "linker" in (tmp_path / "out" / "mine.md").read_text()


def test_a_dry_run_says_what_detectors_read_and_writes_nothing(log, tmp_path):
    done = judge(log, tmp_path / "out", "--dry-run")
    assert done.code == 0
    assert "linker: reads" in done.out
    assert "behaviour: reads" in done.out, "accounts and linking where no policy is named"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["policy=linkin"], "policy = 'linkin': there is no such policy; did you mean 'linking'?"),
        (["policy=limits"], "policy = 'limits': has no detector"),
        (["policy=linking", "--reference", "1.5"], "--reference = '1.5'"),
        (["policy=linking", "--reference", "no.csv"], "--reference = 'no.csv'"),
        (["policy=linking", "--write-logs", "x.parquet"], "exclude each other"),
        (["policy=linking", "--name", "a/b"], "a/b"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(words, message, log, tmp_path):
    done = judge(log, tmp_path / "out", *words)
    assert done.code == 2, done.err
    assert message in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda log: log.with_columns(pl.when(pl.int_range(pl.len()) == 4).then(pl.lit("noon")).otherwise(
            pl.col("time").cast(pl.String)).alias("time")), "column time, row 5"),
        (lambda log: log.drop("account"), "lacks the column 'account'"),
        (lambda log: log.with_columns(pl.lit(1.5).alias("input_tokens")), "column input_tokens, row 1"),
        (lambda log: log.clear(), "holds no request"),
    ],
    ids=["no time", "no account", "no whole number", "empty"],
)  # fmt: skip
def test_a_bad_column_is_named_with_its_row(change, message, log, tmp_path):
    path = tmp_path / "bad.csv"
    change(pl.read_csv(log)).write_csv(path)
    done = judge(path, tmp_path / "out", "policy=linking", "--reference", "0.34")
    assert done.code == 2
    assert message in " ".join(done.err.split())
    assert "Traceback" not in done.err


def test_a_reference_needs_a_log():
    done = moatbench("campaign", *SMALL, "policy=none", "--reference", "0.25", "--dry-run")
    assert done.code == 2
    assert "needs --logs" in done.err
