"""Somebody else's package, found through PYTHONPATH and Hydra's search path alone, has its say in a whole cell."""

import importlib
import sys

import numpy as np
import pytest

from experiments.cell_from import cell_from
from experiments.compose.compose import compose_one
from experiments.store.store import Store
from tests.experiments.test_cell import TINY, run

HEAD = '''"""A part from another package."""

import copy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from attacks.base import Refine, Refined
from defenses.base import Defense, Evidence


@dataclass(frozen=True)
class Part({base}):
    """Does one thing that shows."""

    name: ClassVar[str] = "{name}"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "nobody"
'''

SERVE = """
    def serve(self, serving):
        own = copy.deepcopy(serving.teacher.model)
        with torch.no_grad():
            for weight in own.parameters():
                weight.zero_()
        return serving.teacher.with_model(own)
"""

DETECT = """
    def detect(self, detection):
        return Evidence(0.25, 7.0, 4)
"""

REFINE = """
    def run(self, context):
        context.compute.book(samples=3, tokens=5, steps=1)
        return Refined(context.student, np.array([0.5], np.float32))
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes the package ``somebody`` with one part, and says how it is made known."""

    def made(kind, name, body):
        configs = tmp_path / "somebody" / "configs"
        group = configs / kind
        group.mkdir(parents=True)
        for folder in (configs.parent, configs):
            (folder / "__init__.py").touch()
        base = "Refine" if kind == "attack/refine" else "Defense"
        (configs.parent / "part.py").write_text(HEAD.format(base=base, name=name) + body)
        (group / f"{name}.yaml").write_text(f"# Shows.\n{name}:\n  _target_: somebody.part.Part\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        importlib.invalidate_caches()
        return "hydra.searchpath=[pkg://somebody.configs]"

    yield made
    for module in [m for m in sys.modules if m.split(".")[0] == "somebody"]:
        del sys.modules[module]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


def row_of(store, *overrides):
    row = cell_from(compose_one([*TINY, *overrides]).config).row_stage()
    run(store, [row])
    return row, store.get(row).table("row").row(0, named=True)


def test_a_defense_that_serves_another_model(package, store):
    _, told = row_of(store, package("defense", "blank", SERVE), "defense=blank")
    assert told["defense"] == "blank"
    assert told["changed_share"] > 0.9, "a model of zeros answers otherwise"


def test_a_defense_that_detects(package, store):
    _, told = row_of(store, package("defense", "sees", DETECT), "defense=sees")
    assert (told["evidence"], told["evidence_p"]) == (7.0, 0.25)
    assert (told["evidence_clean"], told["evidence_p_clean"]) == (7.0, 0.25)


def test_several_defenses_that_detect_are_told_apart(package, store):
    own = package("defense", "sees", DETECT)
    _, told = row_of(store, own, "defense=[kgw,sees]", "defense.kgw.tokens=4")
    assert (told["evidence@sees"], told["evidence_p@sees"], told["evidence_p_self@sees"]) == (7.0, 0.25, 0.25)
    assert told["evidence_p@kgw"] == told["evidence_p"] != 0.25


def test_a_refine_part(package, store):
    row, told = row_of(store, package("attack/refine", "rests", REFINE), "attack/refine=rests")
    assert (told["own_samples"], told["own_tokens"], told["own_steps"]) == (3, 5, 1)
    np.testing.assert_array_equal(store.get(row.refined).arrays("refining")["curve"], [0.5])
