"""Real cells on a tiny recipe: a sweep that is killed several times, worker or parent, ends with the same bytes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.experiments.test_cell import TINY

GRID = [*TINY, "defense=none,trace_hidden", "seed=0,1"]
KILLS = 4


def start(folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "experiments", "sweep", *GRID, "--workers", "2"]
    with (folder / "said.txt").open("ab") as said:
        return subprocess.Popen(
            command, cwd=folder, stdout=said, stderr=said, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )


def finish(folder: Path) -> None:
    for _ in range(3):  # a stage whose worker was killed twice has failed: the next run does it
        if start(folder).wait(timeout=600) == 0:
            return
    pytest.fail((folder / "said.txt").read_text())


def result(folder: Path) -> dict[str, bytes]:
    """The reports, and every file of every row but for when it was made."""
    out = folder / "results"
    files = [out / f"sweep.{kind}" for kind in ("md", "csv", "tex", "json")]
    files += [file for file in sorted((out / "store" / "row").glob("*/*")) if file.name != "manifest.json"]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def workers(folder: Path) -> list[int]:
    """Those of the newest log."""
    logs = sorted((folder / "results" / "logs").glob("*.jsonl"))
    lines = [json.loads(line) for line in logs[-1].read_text().splitlines()] if logs else []
    dead = {line["worker"] for line in lines if line["event"] == "kill"}
    return sorted({line["worker"] for line in lines if line["event"] == "start"} - dead)


@pytest.mark.slow
def test_real_cells_killed_and_run_again_give_identical_tables(tmp_path):
    finish(tmp_path / "undisturbed")
    rng, folder = random.Random(5), tmp_path / "killed"
    landed = 0
    for kill in range(KILLS):
        logs = len(list((folder / "results" / "logs").glob("*.jsonl")))
        process = start(folder)
        deadline = time.monotonic() + 120
        while len(list((folder / "results" / "logs").glob("*.jsonl"))) == logs and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(rng.uniform(0.3, 2.0))
        if kill % 2:
            process.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(workers(folder)), signal.SIGKILL)
            time.sleep(rng.uniform(0.2, 1.0))
            process.kill()
        landed += process.wait() == -signal.SIGKILL
    assert landed >= KILLS - 1
    finish(folder)
    assert result(folder) == result(tmp_path / "undisturbed")
    assert not list((folder / "results" / "store").glob("*/.tmp-*"))
