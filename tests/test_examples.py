"""The examples run as they stand, on smaller recipes."""

from __future__ import annotations

import importlib.util
import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from defenses.release.trace_hidden import TraceHidden
from student.mini import MiniStudent
from teacher.mini import MiniTeacher
from tests.experiments.test_cell import TINY

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"


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


def test_a_cell_in_python(tmp_path, monkeypatch, capsys):
    """The lines of docs/python.md as they stand, but for the size of the cell, in a folder of their own."""
    (lines,) = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "docs" / "python.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert len(lines.replace("\n\n", "\n").splitlines()) == 10
    assert lines.count("open_cell([") == 1
    monkeypatch.chdir(tmp_path)
    Path("asked.py").write_text(lines.replace("open_cell([", f"open_cell([*{TINY!r}, "))
    found = runpy.run_path("asked.py")
    assert len(found["rows"]) == len(found["after"]) == len(found["before"]) == 60
    assert sum(map(len, found["after"]["text"])) < sum(map(len, found["before"]["text"]))
    assert len(found["wrong"]) == len(found["sampled"]) == len(found["scored"]) > 0
    assert (found["scored"]["logprob"] < 0).all()
    assert "scores.undefended" in capsys.readouterr().out
    assert (tmp_path / "results" / "store").is_dir()
