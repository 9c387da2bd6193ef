"""A configuration package of somebody else, made in a temporary folder."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from experiments.study import OpenCell, open_cell

DEFENSE = '''\
"""A defense from another package."""

from dataclasses import dataclass
from typing import ClassVar

from defenses.base import Defense


@dataclass(frozen=True)
class Shout(Defense):
    """Does nothing, loudly."""

    name: ClassVar[str] = "shout"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "nobody"
    volume: float = 1.0
'''

YAML = """\
# A defense from another package.
shout:
  _target_: elsewhere.shout.Shout
  volume: 2.0
"""

EXPERIMENT = """\
description: Two grids that overlap.
grids:
  - "defense=shout,none seed=0,1"
  - "defense=none attack=imitate seed=1,2"
  - defense=temperature defense.temperature.tau=1.2,1.5
"""


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `tiny_cell` is stored; not to be changed but by running more cells."""
    return tmp_path_factory.mktemp("tiny") / "store"


@pytest.fixture(scope="session")
def tiny_cell(tiny_store: Path) -> OpenCell:
    """A whole cell on a tiny recipe, run once for all tests that only read one."""
    from tests.experiments.test_cell import TINY

    return open_cell([*TINY, "defense=trace_hidden", "attack=imitate"], tiny_store).run(quiet=True)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An importable package with one defense, its YAML and an experiment; the override that makes it known."""
    configs = tmp_path / "elsewhere" / "configs"
    (configs / "defense").mkdir(parents=True)
    (configs / "experiment").mkdir()
    for folder in (configs.parent, configs):
        (folder / "__init__.py").touch()
    (configs.parent / "shout.py").write_text(DEFENSE)
    (configs / "defense" / "shout.yaml").write_text(YAML)
    (configs / "experiment" / "both.yaml").write_text(EXPERIMENT)
    (configs / "experiment" / "empty.yaml").write_text("description: nothing\ngrids: []\n")
    (configs / "experiment" / "strange.yaml").write_text("description: x\ngrid: [seed=1]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield "hydra.searchpath=[pkg://elsewhere.configs]"
    for name in [n for n in sys.modules if n.split(".")[0] == "elsewhere"]:
        del sys.modules[name]
