"""Plain Hydra's multirun: jobs are cells, and several of its processes share a store."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from experiments.store.maintenance.kept import kept
from tests.experiments.test_cell import TINY


@pytest.mark.slow
def test_two_multiruns_at_once_share_a_store(tmp_path):
    command = [sys.executable, "-m", "experiments.cli.hydra_app", "--multirun", *TINY, "seed=0,1", "launcher.workers=0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    both = [subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=600) for process in both] == [0, 0]
    assert len(list((tmp_path / "results" / "store" / "row").glob("*/manifest.json"))) == 2
    assert not list((tmp_path / "results" / "store").glob("*/.tmp-*"))
    again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert again.returncode == 0
    assert again.stderr.count("0 stages to do") + again.stdout.count("0 stages to do") == 2


def test_the_jobs_of_a_multirun_make_one_table(tmp_path):
    command = [sys.executable, "-m", "experiments.cli.hydra_app", "--multirun", *TINY, "seed=0,1", "launcher.workers=0"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (table,) = kept(tmp_path / "results" / "store")
    assert (table.name, len(table.rows)) == ("hydra", 2)
    assert json.loads((tmp_path / "results" / "hydra.json").read_text())["cells"][0]["seeds"] == [0, 1]
