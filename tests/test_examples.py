"""The examples run as they stand, on smaller recipes."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from defenses.release.trace_hidden import TraceHidden
from student.mini import MiniStudent
from teacher.mini import MiniTeacher

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.mark.parametrize("defenses", [{}, {"trace_hidden": TraceHidden()}], ids=["none", "trace_hidden"])
def test_one_cell(defenses, tmp_path):
    spec = importlib.util.spec_from_file_location("one_cell", EXAMPLES / "one_cell.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    teacher, student = MiniTeacher(width=32, layers=1), MiniStudent(width=32, layers=1)
    teacher = replace(teacher, recipe=replace(teacher.recipe, steps=2))
    student = replace(
        student, recipe=replace(student.recipe, steps=2), base_recipe=replace(student.base_recipe, steps=2)
    )
    found = module.cell(teacher, student, defenses, 20, tmp_path)
    assert found.keys() == {"teacher", "base", "student", "dollars"}
    assert all(0 <= found[name] <= 1 for name in ("teacher", "base", "student"))
    assert found["dollars"] > 0
