"""Tracking mirrors rows, hides keys and never fails a run."""

from __future__ import annotations

import sys
import time
import types
import warnings
from pathlib import Path

import pytest

from configs.build import build
from configs.errors import ConfigError
from experiments.compose.compose import compose_one
from experiments.report.tracking import NoTracking, Tracking, WandbTracking, without_secrets


def test_secrets_are_hidden_wherever_they_are():
    config = {"teacher": {"api_key": "x", "max_tokens": 3, "list": [{"password": "y"}]}, "key": 1, "tokenizer": "z"}
    assert without_secrets(config) == {
        "teacher": {"api_key": "<hidden>", "max_tokens": 3, "list": [{"password": "<hidden>"}]},
        "key": "<hidden>",
        "tokenizer": "z",
    }


def test_yaml_builds():
    assert build(compose_one([]).config.tracking, Tracking, "tracking") == NoTracking()
    assert build(compose_one(["tracking=wandb"]).config.tracking, Tracking, "tracking") == WandbTracking()
    with pytest.raises(ConfigError, match="mode"):
        build(compose_one(["tracking=wandb", "tracking.mode=loud"]).config.tracking, Tracking, "tracking")


def test_a_broken_tracker_warns_once_and_fails_nothing(monkeypatch):
    fake = types.ModuleType("wandb")
    monkeypatch.setitem(sys.modules, "wandb", fake)
    tracking = WandbTracking()
    with pytest.warns(UserWarning, match="the run goes on"):
        tracking.row("a", "n", {}, {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tracking.row("b", "n", {}, {})


def test_wandb_offline_needs_no_account(tmp_path, monkeypatch, recwarn):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    WandbTracking().row("abc123", "quick", {"seed": 0, "api_key": "hush"}, {"student": 0.5, "trace": [1]})
    assert not [w for w in recwarn if "tracking stopped" in str(w.message)]
    (run,) = (tmp_path / "wandb").glob("offline-run-*abc123")
    assert not any(b"hush" in path.read_bytes() for path in run.rglob("*") if path.is_file())


def told(path: Path) -> bytes:
    """The records of a log of wandb without what stands between and within them: a header of seven bytes, the file's own and
    that of each stretch of a record, none of which leaves its block of 32 KiB."""
    data, at, found = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32 * 1024 - at % (32 * 1024)
        if left < 7:
            at += left
            continue
        length = int.from_bytes(data[at + 4 : at + 6], "little")
        found += data[at + 7 : at + 7 + length]
        at += 7 + length
    return found


def test_a_report_has_its_tables_and_plots_and_where_they_are_is_said(tmp_path, monkeypatch, recwarn, report):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    tracking = WandbTracking()
    assert tracking.remark() == ""
    tracking.row("abc123", "quick", {"seed": 0}, {"defense": "kgw(delta=2)", "attack": "imitate", "seed": 0, "x": 0.5})
    tracking.report("quick", report.files)
    assert not [w for w in recwarn if "tracking stopped" in str(w.message)]
    runs = list((tmp_path / "wandb").glob("offline-run-*"))
    assert len(runs) == 2
    names = {"kgw(delta=2) × imitate seed 0".encode(), b"quick: report"}
    until = time.monotonic() + 60  # wandb's own process writes the logs
    while missing := names - {n for n in names for r in runs for p in r.glob("*.wandb") if n in told(p)}:
        assert time.monotonic() < until, missing
        time.sleep(0.2)
    media = [p.name for run in runs for p in (run / "files" / "media").rglob("*") if p.is_file()]
    assert any(name.startswith("quick") and name.endswith(".png") for name in media), media
    assert any(name.startswith("main") and name.endswith(".table.json") for name in media), media
    assert str(tmp_path / "wandb") in tracking.remark()
    assert "wandb sync" in tracking.remark()
