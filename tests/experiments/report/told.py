"""Texts of a cell that say what somebody would have said."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from experiments.measure.cell_result import CellResult
from experiments.stages.sample_texts import SCHEMA


def line(kind: str, role: str, item: str, trace: str | None, answer: str | None, **more: object) -> dict[str, object]:
    """A row of `CellResult.transcripts`."""
    given = {
        "kind": kind,
        "role": role,
        "item": item,
        "family": "chain",
        "prompt": f"chain {item}",
        "reference": "7",
        "trace": trace,
        "answer": answer,
        "strict": True,
        "lenient": True,
        "finished": True,
        "cut": False,
        "refused": False,
    }
    return given | more


def table(*lines: dict[str, object]) -> pl.DataFrame:
    """Of such rows."""
    return pl.DataFrame(list(lines), schema=SCHEMA | {"kind": pl.String, "role": pl.String})


def with_texts(result: CellResult, working: str = "add 3 -> 5 ; add 2 -> 7", prompt: str = "") -> CellResult:
    """A cell whose defense takes the last step away, and one of whose requests was refused."""
    shown = working.rpartition(";")[0] or working
    named = {"prompt": prompt} if prompt else {}
    return replace(
        result,
        transcripts=table(
            line("harvest", "student", "a", shown, "answer 7", cut=True, **named),
            line("harvest", "undefended", "a", working, "answer 7", **named),
            line("harvest", "student", "b", None, None, refused=True, strict=None, lenient=None, finished=None),
            line("harvest", "undefended", "b", working, "answer 7"),
            line("heldout", "student", "x", "guess", "answer 9", strict=False, family="code"),
            line("heldout", "undefended", "x", working, "answer 7", family="code"),
            line("heldout", "teacher", "x", working, "answer 7", family="code"),
        ),
    )
