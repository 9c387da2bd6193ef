"""Streams and places that do not take what is written: runs end all the same, and say so."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from configs.errors import ConfigError
from experiments.cli import consoles, main
from experiments.cli.streams import watched
from experiments.engine.ending import ends_politely
from experiments.engine.others import Board
from experiments.store.lease import Busy, held, lease
from experiments.store.maintenance.kept import keep, kept
from experiments.store.places import folder, new_file
from experiments.store.store import Store, StoreFullError, is_full
from tests.experiments.cli.test_cli import fake
from tests.experiments.fakes import Fake, runs

__all__ = ["fake"]

RUN = ["run", "--workers", "0"]


class Failing(io.StringIO):
    """Takes nothing."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def write(self, text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))  # of EPIPE Python makes a BrokenPipeError


def forbidden(*_: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_a_run_whose_reader_goes_away_ends_as_it_would(fake, monkeypatch, capsys):
    written = []
    monkeypatch.setattr(
        "experiments.cli.execute.somewhere", lambda at: written.append(at) or contextlib.nullcontext(at)
    )
    monkeypatch.setattr(sys, "stdout", Failing(errno.EPIPE))
    assert main(RUN) == 0
    assert len(written) == 1
    assert "standard output" not in capsys.readouterr().err


def test_output_that_cannot_be_written_is_said_and_costs_no_result(fake, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Failing(errno.ENOSPC))
    assert main(RUN) == 1
    assert "standard output cannot be written to: No space left on device" in capsys.readouterr().err
    assert len(list(Path("results/store/fake").iterdir())) == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_device_that_is_full_is_said_once():
    """A short text stays in Python's buffer: writing it fails when that is flushed, and again when Python exits."""
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "experiments", "list", "recover"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=buffered)
    assert done.returncode == 1
    assert done.stderr == "moatbench: standard output cannot be written to: No space left on device\n"


def test_a_list_is_cut_quietly():
    done = subprocess.run(
        ["bash", "-c", f"'{sys.executable}' -m experiments list defenses | head -1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "0"},
    )
    assert done.stdout.splitlines()[0].strip() == "defense="
    assert done.stdout.splitlines()[-1] == "0"
    assert done.stderr == ""


def test_a_narrow_encoding_degrades_characters(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    with watched():
        print("−.5 – 3 × 4 ≥ ü")
    assert raw.getvalue() == b"-.5 - 3 x 4 >= ?\n"


@pytest.mark.parametrize(("columns", "width"), [("0", 120), ("", 120), ("x", 120), ("5", consoles.LEAST), ("90", 90)])
def test_columns_that_say_nothing_are_not_followed(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "__stdout__", io.StringIO())
    assert consoles.results().width == width


@pytest.mark.parametrize("number", [errno.EFBIG, errno.ENOSPC, errno.EDQUOT])
def test_limits_on_files_are_a_full_disk(number):
    assert is_full(OSError(number, "x"))
    assert is_full(RuntimeError(f"I/O error: {os.strerror(number)} (os error {number})"))
    assert "ulimit -f" in str(StoreFullError(Path("s")))


def test_a_stored_sweep_is_shown_from_a_store_that_is_only_read(fake, monkeypatch, capsys):
    assert main(["sweep", "seed=0,1", "--workers", "0"]) == 0
    before = {path: path.stat().st_mtime_ns for path in Path("results/store").rglob("*") if path.is_dir()}
    capsys.readouterr()
    monkeypatch.setattr("experiments.store.layout.write_json", forbidden)
    monkeypatch.setattr("experiments.store.store.lease", forbidden)
    assert main(["sweep", "seed=0,1", "--workers", "0"]) == 0
    shown = capsys.readouterr()
    assert "2 rows" in shown.out
    assert "the table is not kept" in shown.err
    assert before == {path: path.stat().st_mtime_ns for path in Path("results/store").rglob("*") if path.is_dir()}
    ran = runs(fake)
    assert main(["sweep", "seed=0,1,2", "--workers", "0"]) == 2
    assert "cannot be written to (Read-only file system), and 2 stages are to be done" in capsys.readouterr().err
    assert runs(fake) == ran


def test_where_no_report_can_be_written_it_is_shown(fake, monkeypatch, capsys):
    assert main(RUN) == 0
    monkeypatch.setattr("pathlib.Path.touch", forbidden)
    assert main(RUN) == 1
    shown = capsys.readouterr()
    assert "1 rows" in shown.out
    assert "the report was not written" in shown.err


@pytest.mark.parametrize("field", ["out", "store"])
@pytest.mark.parametrize("name", ["file", "file/below", "loop", "x" * 300, "new/" + "x" * 300, "~nobody-here/x"])
def test_folders_that_cannot_be_are_refused_before_anything_runs(fake, capsys, field, name):
    Path("file").touch()
    Path("loop").symlink_to("loop")
    assert main([*RUN, f"{field}='{name}'"]) == 2
    shown = capsys.readouterr().err
    assert f"{field} = " in shown
    assert shown.count("\n") == 1
    assert not runs(fake)
    with pytest.raises(ConfigError):
        folder(field, "a\x00b")


@pytest.mark.parametrize("name", ["file/q.zip", "loop/q.zip", "folder.zip", "x" * 300 + ".zip", "/proc/q.zip", "q.rar"])
def test_an_export_to_nowhere_is_refused_before_the_work(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    store = Store("results/store")
    keep(store, "quick", [Fake("a")])
    Path("file").touch()
    Path("loop").symlink_to("loop")
    Path("folder.zip").mkdir()
    monkeypatch.setattr("experiments.publish.paper_artifact.artifact", lambda *_: pytest.fail("work was done"))
    assert main(["store", "export", "quick", name]) == 2
    assert "PATH = " in capsys.readouterr().err
    assert new_file("PATH", "below/q.zip") == tmp_path / "below" / "q.zip"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_polite_kill_ends_as_an_interrupt_does(fake, monkeypatch, capsys, number):
    from experiments.cli import execute

    ended = []
    monkeypatch.setattr("experiments.engine.pool.end", lambda: ended.append(True))
    monkeypatch.setattr(execute, "plan", lambda *_: os.kill(os.getpid(), number))  # before any worker was started
    before = signal.signal(number, signal.SIG_DFL)  # the tests may run where hangups are ignored
    try:
        assert main(RUN) == 130
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)
    assert "run the same command again" in capsys.readouterr().err
    assert ended == [True]


def test_what_is_to_be_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ends_politely():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    thread = threading.Thread(target=lambda: ends_politely().__enter__())
    thread.start()
    thread.join()


@pytest.mark.parametrize("names", [(".nfs0001",), ("garbage", "a-b-c"), ("0",)])
def test_foreign_names_in_a_lease_are_ignored(tmp_path, names):
    place = tmp_path / "x.lease"
    place.mkdir()
    for name in names:
        (place / name).touch()
    (place / "folder").mkdir()
    (place / "folder" / "file").touch()
    assert not held(place)
    with lease(place, wait=False):
        (place / ".nfs0002").touch()
        assert held(place)
    with lease(place):
        pass
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_moved_away_is_waited_for_and_then_said(tmp_path, monkeypatch):
    from experiments.store.lease import LeasePatience

    place = tmp_path / "x.lease"
    place.mkdir()
    (place / ".nfs0001").touch()
    monkeypatch.setattr("experiments.store.lease._cleared", lambda _: False)
    with pytest.raises(Busy), lease(place, wait=False):
        pass
    start = time.monotonic()
    with pytest.raises(OSError, match="something else lies"), lease(place, LeasePatience(0.01, 0.05)):
        pass
    assert time.monotonic() - start < 5


def test_foreign_names_are_no_deaths(tmp_path):
    board = Board(tmp_path)
    with board.begun(["k"]):
        (tmp_path / "begun" / "k" / ".nfs0001").touch()
        assert board.times("k") == 1
    assert board.times("k") == 0
    assert board.running() == []


def test_jobs_of_one_run_make_one_table(tmp_path):
    store = Store(tmp_path)
    for run, label in (("a", "x"), ("a", "y"), ("b", "z"), ("b", "w"), ("b", "z")):
        keep(store, "hydra", [Fake(label)], finished=False, run=run)
        keep(store, "hydra", [Fake(label)], run=run)
    (table,) = kept(tmp_path)
    assert [ref.key for ref in table.rows] == [Fake("z").key, Fake("w").key]
    keep(store, "hydra", [Fake("x")])
    assert len(kept(tmp_path)[0].rows) == 1


@pytest.mark.parametrize("rows", ['[["..", "x"]]', "[[1, 2]]", '[["row"]]', "7", '[["row", "../../x"]]'])
def test_a_record_that_leads_elsewhere_is_not_read(tmp_path, rows):
    store = Store(tmp_path)
    keep(store, "t", [Fake("a")])
    text = f'{{"name": "t", "written": "", "command": [], "git": null, "rows": {rows}, "entries": []}}'
    (tmp_path / "tables" / "t.json").write_text(text)
    assert main(["store", "ls", f"store={tmp_path}"]) == 2
