"""The examples in docstrings run as they stand, and every base class that others derive from has one."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

from attacks.base import Harvest, Recover, Refine
from defenses.admission.detector import Detector
from defenses.base import Defense
from experiments.report.tracking import Tracking
from experiments.store.stage import Stage
from lm.model_spec import ModelSpec
from student.base import StudentSpec
from student.objectives.base import Objective
from tasks.base import Task
from tests.sources import SOURCES, name_of

BASES = (Defense, Detector, Harvest, Recover, Refine, Objective, Task, ModelSpec, StudentSpec, Tracking, Stage)
SHOWING = [path for path in SOURCES if ">>> " in path.read_text()]


def examples(path: Path) -> list[doctest.DocTest]:
    module = import_module(name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    return [found for found in doctest.DocTestFinder(exclude_empty=True).find(module) if found.examples]


@pytest.mark.parametrize("path", SHOWING, ids=name_of)
def test_examples_run(path):
    told: list[str] = []
    for example in examples(path):
        doctest.DocTestRunner(optionflags=doctest.REPORT_ONLY_FIRST_FAILURE).run(example, out=told.append)
    assert not told, "".join(told)


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.__name__)
def test_a_base_class_shows_one_derived_from_it(base):
    shown = doctest.DocTestParser().get_examples(base.__doc__ or "")
    assert any(f"({base.__name__}):" in example.source for example in shown)
    assert any(example.want for example in shown), "and what comes of it"
