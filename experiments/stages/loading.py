"""Loads the model a stage has trained, once per process."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from experiments.store.entry import Entry
from lm.model_spec import ModelSpec
from tasks.base import Task

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


class ModelStage(Protocol):
    """A stage whose artifact holds the weights of one model: the ``teacher`` or a ``student``, as ``part`` says."""

    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def part(self) -> str: ...  # noqa: D102
    @property
    def task(self) -> Task: ...  # noqa: D102
    @property
    def spec(self) -> ModelSpec: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


class _Handle:
    """Hashes by the stage's key, so that the cache compares nothing else."""

    def __init__(self, stage: ModelStage, entry: Entry) -> None:
        self.stage, self.entry = stage, entry

    def __hash__(self) -> int:
        return hash(self.stage.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Handle) and other.stage.key == self.stage.key


def model_of(stage: ModelStage, entry: Entry) -> LanguageModel:
    """The ready model of a `TeacherStage`, `BaseStage` or `StudentStage`. Shared: do not train it in place."""
    return _loaded(_Handle(stage, entry))


@lru_cache(maxsize=4)
def _loaded(handle: _Handle) -> LanguageModel:
    stage = handle.stage
    with stage.spec.named(stage.part):
        return stage.spec.load(stage.task, handle.entry.tensors("weights"), stage.seed)
