"""Tasks of configs/task on a few rows of our own, with the very columns of the sets on the hub."""

from __future__ import annotations

from pathlib import Path

from configs.build import build
from experiments.compose.compose import compose_one
from tasks.base import Item, Task
from tasks.dataset import DatasetTask
from tasks.splits import SPLITS

DATA = Path(__file__).parent / "data"


def task(choice: str, path: str, *others: str) -> DatasetTask:
    """What ``task=choice`` makes of a local file or folder."""
    composed = compose_one(
        [f"task={choice}", f"task.path={DATA / path}", "task.config=", *others, "teacher=hf", "student=hf"]
    )
    made = build(composed.plain["task"], Task, "task")  # type: ignore[type-abstract]
    assert isinstance(made, DatasetTask)
    return made


def every(made: Task) -> list[Item]:
    return [i for s in SPLITS for f in made.families for i in made.items(s, f, made.size(s, f), 0)]
