"""A part that was edited without raising its version is told of before its results are used."""

from __future__ import annotations

import importlib
import sys

from experiments.cli import main
from experiments.store import sources
from tests.experiments.test_cell import TINY

STEP_CODE = '''
"""A recover step of somebody else."""
from dataclasses import dataclass
from typing import ClassVar
from attacks.base import Recover

@dataclass(frozen=True)
class Half(Recover):
    """Keeps some rows."""
    name: ClassVar[str] = "half"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "nobody"

    def apply(self, data, context):
        """See `Recover.apply`."""
        return data  # all of them
'''


def test_a_part_that_was_edited_in_place_is_told_of(elsewhere, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")
    code, folder = tmp_path / "elsewhere" / "half.py", tmp_path / "elsewhere" / "configs" / "attack" / "recover"
    folder.mkdir(parents=True)
    (folder / "half.yaml").write_text("half:\n  _target_: elsewhere.half.Half\n")
    line = ["sweep", elsewhere, "attack/recover=[half]", "defense=none", *TINY, "--workers", "0"]

    def told(text: str, *more: str) -> str:
        code.write_text(text)
        sys.modules.pop("elsewhere.half", None)
        importlib.invalidate_caches()
        sources._code.cache_clear()
        assert main([*line, *more]) == 0
        return capsys.readouterr().err

    assert "has changed" not in told(STEP_CODE)
    reworded = STEP_CODE.replace("# all of them", "# every row").replace("some rows", "rows")
    assert "has changed" not in told(reworded, "--dry-run")
    edited = STEP_CODE.replace("return data ", "return data.where(data.item >= 0) ")
    for more in ((), ("--dry-run",)):
        error = told(edited, *more)
        assert "0 stages to do" in error
        assert error.count("the code of recover 'half' (version 1, elsewhere.half) has changed") == 1
        assert "of training_set" in error
    raised = told(edited.replace("int] = 1", "int] = 2"), "--dry-run")
    assert "has changed" not in raised
    assert "0 stages to do" not in raised
    assert main(["store", "forget", "recover/half"]) == 0
    again = told(edited, "--dry-run")
    assert "has changed" not in again
    assert "0 stages to do" not in again
    assert "stored results reused" in again
