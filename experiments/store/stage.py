"""A stage: a pure function of its configuration and its inputs, stored under the hash of all three."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

from experiments.store.artifact import Artifact
from experiments.store.entry import Entry
from lm.types import Progress


class Memos(Protocol):
    """Keeps work that several stages share; a `experiments.store.store.Store` does."""

    def memo(self, name: str, content: Mapping[str, Any], make: Callable[[], Artifact]) -> Entry:
        """See `experiments.store.store.Store.memo`."""
        ...


@dataclass(frozen=True)
class Context:
    """What a running stage is given.

    Args:
        inputs: the stored result of each input stage, by the name that `Stage.inputs` gives it.
        store: for work shared inside stages (generations that several harvests have in common).
        progress: tells how far the stage is.
    """

    inputs: Mapping[str, Entry]
    store: Memos
    progress: Progress


class Stage(ABC):
    """A frozen dataclass whose fields are plain, picklable configuration and other stages.

    ``version`` goes up whenever the code changes what the stage computes; ``seconds`` is a rough cost on one core, with
    which an engine orders work and estimates time.

    A stage that counts words, as an example; its key follows from all that its result depends on:

    >>> @dataclass(frozen=True)
    ... class Words(Stage):
    ...     name: ClassVar[str] = "words"
    ...     version: ClassVar[int] = 1
    ...     text: str
    ...
    ...     def config(self):
    ...         return {"text": self.text}
    ...
    ...     def inputs(self):
    ...         return {}
    ...
    ...     def run(self, context):
    ...         return Artifact(meta={"words": len(self.text.split())})
    >>> Words("one two").run(context=None).meta, Words("one two").key == Words("one  two").key
    ({'words': 2}, False)
    """

    name: ClassVar[str]
    version: ClassVar[int]
    seconds: ClassVar[float] = 1.0

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """Everything, besides the inputs, that changes the result; JSON-able."""

    @abstractmethod
    def inputs(self) -> dict[str, Stage]:
        """Stages whose results this one reads."""

    @abstractmethod
    def run(self, context: Context) -> Artifact:
        """Do the work."""

    def memory(self) -> int:
        """Bytes that running it takes at least, models left out; 0 where that is not known."""
        return 0

    def cohort_key(self) -> str:
        """Stages of one class and equal cohort key can be run as one by `run_together`; "" for a stage that runs alone. Says
        nothing about results: those are the same in any cohort."""
        return ""

    @classmethod
    def run_together(cls, stages: Sequence[Any], contexts: Sequence[Context]) -> list[Artifact]:
        """What `run` gives for each of several stages of this class and one cohort, in their order."""
        return [stage.run(context) for stage, context in zip(stages, contexts, strict=True)]

    @cached_property
    def key(self) -> str:
        """Hex hash of name, version, configuration and the keys of all inputs."""
        content = {
            "stage": self.name,
            "version": self.version,
            "config": self.config(),
            "inputs": {name: stage.key for name, stage in self.inputs().items()},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()[:32]
