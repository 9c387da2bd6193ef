"""One whole cell on a real pretrained model: SmolLM2 as teacher on reasoning-gym prompts, and students of two sizes.

Needs the model: ``python -m lm.gguf fetch-smollm2 DIR``, then ``MOATBENCH_SMOLLM2=DIR/….gguf`` (or a folder made from it by
``python -m lm.gguf convert``, which loads faster).
"""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

MODEL = os.environ.get("MOATBENCH_SMOLLM2", "")
SMALL = (
    "++student.from_scratch={hidden_size:32,intermediate_size:64,num_hidden_layers:2,num_attention_heads:4,"
    "num_key_value_heads:2,head_dim:8}"
)
STUDENTS = {
    "lora": ["student.recipe.training=lora", "student.recipe.rank=4"],
    "scratch": ["student.recipe.training=full", SMALL],
}

pytestmark = [
    pytest.mark.lm,
    pytest.mark.skipif(
        not Path(MODEL).exists() or not MODEL, reason="MOATBENCH_SMOLLM2 names no model; see the docstring"
    ),
]


@pytest.mark.parametrize("student", list(STUDENTS))
def test_whole_cell(student: str, tmp_path: Path) -> None:
    from experiments.cli import main

    words = [
        "run",
        "task=reasoning_gym",
        "teacher=hf",
        f"teacher.path={MODEL}",
        "student=hf",
        f"student.path={MODEL}",
        "student.recipe.steps=2",
        "student.recipe.batch_size=4",
        "budget=lm",
        "budget.queries=8",
        "budget.data=8",
        "measure.heldout=4",
        "measure.harder=2",
        "measure.population.accounts=20",
        "max_tokens=24",
        f"store={tmp_path / 'store'}",
        f"out={tmp_path / 'out'}",
        *STUDENTS[student],
    ]
    assert main(words) == 0
    rows = [pl.read_parquet(file) for file in (tmp_path / "store").rglob("*.parquet")]
    assert any(len(rows_of) > 0 for rows_of in rows)
