"""Transcripts of our own making, as files, and cells that stand on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.cell import Cell
from experiments.cell_from import cell_from
from experiments.compose.compose import compose_one


def rows(prompts: int = 30, each: int = 2) -> list[dict[str, Any]]:
    """``each`` responses to every prompt, every second one wrong."""
    return [
        {
            "prompt": f"What is {i} + {i}?",
            "response": f"Answer: {2 * i + k % 2}",
            "thoughts": f"{i} + {i} = {2 * i}. So the total is {2 * i + k % 2}.",
            "answer": str(2 * i),
            "finish_reason": "stop",
        }
        for i in range(prompts)
        for k in range(each)
    ]


def told(response: str, tokens: Sequence[str], k: int = 2) -> list[dict[str, Any]]:
    """Logprobs of a response in these tokens, as OpenAI's chat API gives them."""
    assert "".join(tokens) == response
    return [
        {
            "token": token,
            "logprob": -0.1 - 0.01 * at,
            "top_logprobs": [{"token": t, "logprob": -0.1 - j} for j, t in enumerate([token, *"0123456789"][:k])],
        }
        for at, token in enumerate(tokens)
    ]


def written(path: Path, made: list[dict[str, Any]]) -> Path:
    """The file."""
    path.write_text("\n".join(map(json.dumps, made)))
    return path


def words(transcripts: Path, model: Path, *others: str) -> list[str]:
    """Of the command line, for a small cell."""
    return [
        "teacher=transcripts",
        f"teacher.path={transcripts}",
        "task=transcripts",
        "student=hf",
        f"student.path={model}",
        "student.device=cpu",
        "student.recipe.steps=2",
        "student.recipe.batch_size=4",
        "budget.queries=6",
        "budget.data=6",
        "measure.heldout=4",
        "measure.harder=0",
        "measure.population.accounts=10",
        "max_tokens=96",
        *others,
    ]


def cell(transcripts: Path, model: Path, *others: str) -> Cell:
    """The same, checked; nothing is run."""
    return cell_from(compose_one(words(transcripts, model, *others)).config)
