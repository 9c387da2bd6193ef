"""What the command line says of failures, where it leaves logs, and where it says the time went."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.cli.failures import SHOWN, _end, conclude
from experiments.engine.base import Failure, RunOutcome
from experiments.engine.profile import CATEGORIES, PARENT, Profile
from tests.experiments.cli.test_cli import fake

__all__ = ["fake"]

GRID = ["sweep", "defense=temperature,none", "seed=0,1", "--workers", "0"]


def log() -> list[dict[str, object]]:
    (path,) = Path("results/logs").glob("*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_failures_are_a_table_with_the_end_of_each_story(fake, capsys):
    assert main(GRID) == 1
    shown = capsys.readouterr().err
    assert "failures" in shown
    for path in Path("results/store/failures").iterdir():
        assert f"traceback: {path}" in shown
        assert path.read_text().rstrip().splitlines()[-1] in shown
    assert "2 stages failed, 2 stages that need them given up; 2 cells could not be finished" in shown


def test_the_line_of_a_users_own_method_is_shown():
    project = Path(__file__).resolve().parents[3]
    frames = [("/home/me/mine/own.py", "mask = 3"), (project / "lm" / "columnar.py", "self._require(mask)")]
    story = "".join(f'  File "{path}", line 3, in f\n    {line}\n' for path, line in frames)
    end = _end(Failure("s", "k", "l", "e", Path("t"), story=f"Traceback\n{story}ValueError: no\n"))
    assert [line.strip() for line in end.splitlines()][:2] == ['File "/home/me/mine/own.py", line 3, in f', "mask = 3"]
    assert end.splitlines()[-1].strip() == "ValueError: no"


def test_one_cell_that_fails_is_said_shortly(fake, capsys):
    assert main(["run", "defense=temperature", "--workers", "0"]) == 1
    shown = capsys.readouterr().err
    assert "raises failed: RuntimeError: no luck with" in shown
    assert "traceback: results/store/failures/" in shown
    assert "│" not in shown
    assert "Traceback" not in shown


def test_a_full_disk_ends_with_the_table_and_advice(fake, capsys, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("experiments.store.store.write_entry", full)
    assert main(GRID) == 1
    shown = capsys.readouterr().err
    assert "failures" in shown
    assert "is full: free some space" in shown
    assert "4 cells could not be finished" in shown


def test_a_report_for_which_there_is_no_room_is_no_crash(fake, capsys, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("experiments.cli.execute.write_report", full)
    assert main(["run", "--workers", "0"]) == 1
    assert "no room for the report" in capsys.readouterr().err


def test_many_failures_are_cut(tmp_path, capsys):
    from experiments.cli.consoles import remarks

    failures = [Failure("s", f"k{i}", f"cell {i}", "wrong", tmp_path / f"{i}.txt", True, "a\nb") for i in range(30)]
    assert conclude(RunOutcome(0, tuple(failures), frozenset(), 1.0), 40, 30, tmp_path, remarks()) == 2
    shown = capsys.readouterr().err
    assert f"cell {SHOWN - 1}" in shown
    assert f"cell {SHOWN}" not in shown
    assert "and 10 more failures" in shown
    assert shown.count("     b\n") == 1  # the same end is shown once
    assert "as 1" in shown


def test_a_run_leaves_a_log(fake):
    main(GRID)
    events = [line["event"] for line in log()]
    assert events.count("finish") == 5
    assert events.count("failure") == 2


def test_where_nothing_is_done_there_is_no_log(fake, capsys):
    assert main(["run", "--workers", "0"]) == 0
    (before,) = Path("results/logs").iterdir()
    assert str(before) in capsys.readouterr().err
    assert main(["run", "--workers", "0"]) == 0
    assert list(Path("results/logs").iterdir()) == [before]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_profile_says_where_the_time_went(fake, capsys, workers):
    assert main(["sweep", "seed=0,1", "--workers", workers, "--profile"]) == 0
    shown = capsys.readouterr().err
    content = json.loads(Path("results/sweep_profile.json").read_text())
    assert set(content["seconds"]) >= {*CATEGORIES, *PARENT}
    for name in content["seconds"]:
        assert name in shown
    assert content["seconds"]["writing"] > 0
    assert content["seconds"]["planning"] > 0
    assert sum(share for share in content["share"].values() if share is not None) == pytest.approx(1.0, abs=0.05)


def test_idle_time_is_what_is_left():
    profile = Profile.of(2, 10.0, {"training": 12.0, "made up": 1.0}, {"planning": 3.0})
    assert profile.seconds["idle"] == pytest.approx(7.0)
    assert profile.share("training") == pytest.approx(0.6)
    assert profile.share("planning") is None
    assert profile.seconds["made up"] == 1.0
