"""With a home and a tree that cannot be written to, everything runs, and in a folder that nobody else can write to."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lm.home
from lm.home import private_folder, provide, writable

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = ("HF_HOME", "HF_DATASETS_CACHE", "HF_MODULES_CACHE", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")

FOLDERS = ("attacks", "configs", "defenses", "experiments", "lm", "student", "tasks", "teacher")

COMMANDS = """
from experiments.cli import main
import matplotlib.figure, datasets.load
from lm.randomness import _fill, uniforms
import numpy as np
assert main(["list", "defenses"]) == main(["show"]) == 0
print(uniforms(np.zeros(1, np.int64), np.zeros(1, np.int64), 1)[0, 0], _fill.stats.cache_path)
"""


def without_home(tmp: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in (*VARIABLES, "NUMBA_CACHE_DIR")}
    return {**kept, "HOME": "/dev/null", "TMPDIR": str(tmp)}


@pytest.fixture
def unwritable_tree(tmp_path):
    """The project where compiled code cannot be put, by root either: a file is in the place of each folder for it."""
    tree = tmp_path / "tree"
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in {path.parent for path in tree.rglob("*.py")}:
        (folder / "__pycache__").touch()
    metadata = tree / "moatbench-0.1.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: moatbench\nVersion: 0.1.0\n")
    return tree


def test_commands_run_without_a_word_of_it(unwritable_tree, tmp_path):
    environment = {**without_home(tmp_path), "PYTHONPATH": str(unwritable_tree)}
    command = [sys.executable, "-c", COMMANDS]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    number, _, folder = done.stdout.splitlines()[-1].partition(" ")
    assert 0 <= float(number) < 1
    assert Path(folder).is_relative_to(tmp_path / f"moatbench-{os.getuid()}" / "numba")
    assert list(Path(folder).rglob("*.nbc"))


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(lm.home.tempfile, "gettempdir", lambda: str(tmp_path))
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that what is set meanwhile goes again
        monkeypatch.delenv(name)
    return tmp_path


def test_the_folder_is_the_users_own(temporary):
    folder = private_folder()
    assert folder is not None
    assert folder.stat().st_mode & 0o777 == 0o700
    assert private_folder() == folder
    folder.chmod(0o770)
    assert private_folder() is None


@pytest.mark.parametrize("trap", ["link", "file", "another's"])
def test_what_somebody_else_put_there_is_not_taken(temporary, monkeypatch, trap):
    place = temporary / f"moatbench-{os.getuid()}"
    if trap == "link":
        (temporary / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(temporary / "elsewhere")
    elif trap == "file":
        place.touch()
    else:
        uid = os.getuid()
        monkeypatch.setattr(lm.home.os, "getuid", lambda: uid + 1)
        (temporary / f"moatbench-{uid + 1}").mkdir(mode=0o700)
    assert private_folder() is None


def test_only_what_has_no_place_gets_one(temporary, monkeypatch):
    home = temporary / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    before = dict(os.environ)
    provide()
    assert dict(os.environ) == before
    assert not list(home.iterdir())
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.setenv("MPLCONFIGDIR", "chosen")
    provide()
    assert os.environ["MPLCONFIGDIR"] == "chosen"
    assert os.environ["HF_HOME"] == str(private_folder() / "hf_home")
    assert writable(Path(os.environ["HF_HOME"]))


def test_a_cache_of_models_that_can_only_be_read_is_still_read(temporary, monkeypatch):
    hub = temporary / "home" / ".cache" / "huggingface"
    hub.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(temporary / "home"))
    monkeypatch.setattr(lm.home, "writable", lambda folder: not folder.is_relative_to(temporary / "home"))
    provide()
    assert "HF_HOME" not in os.environ
    assert os.environ["HF_DATASETS_CACHE"] == str(private_folder() / "hf_datasets_cache")


def test_what_can_be_written(tmp_path):
    assert writable(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    assert not writable(tmp_path / "file")
    assert not writable(tmp_path / "file" / "b")
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    assert not writable(tmp_path / "broken")
