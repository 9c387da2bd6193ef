"""What a provider has besides the teacher: tasks of its own, clean traces on them, and a student distilled from these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from attacks.budget import allocate
from configs.errors import ConfigError
from configs.identity import identity
from defenses.base import OwnItems, RequestFacts
from experiments.stages.backend import ModelBackend
from experiments.stages.loading import model_of
from experiments.stages.models import BaseStage, TeacherStage
from experiments.stages.offer import ProviderModel
from experiments.stages.prompts import draw, prompts_of, shares
from experiments.stages.student_view import for_student
from experiments.store.artifact import Artifact
from experiments.store.entry import Entry
from experiments.store.stage import Context, Memos, Stage
from lm.examples import Examples
from lm.ragged import Ragged
from lm.seeds import derived_seed, generator
from lm.types import Channel
from student.base import StudentSpec
from student.objectives.sft import SFT
from tasks.base import Item, Task
from teacher.api.schema import Params, Requests

if TYPE_CHECKING:
    from lm.language_model import LanguageModel

TRACES = 1000
"""Clean traces that the provider distils its own student from."""


def own_items(task: Task, count: int, lm: LanguageModel, seed: int) -> OwnItems:
    """So many tasks of the provider split, in random order."""
    items = _drawn(task, count, seed)[:count]

    def check(row: int, text: str) -> bool:
        return task.verify(items[row], text).strict

    return OwnItems(prompts_of(task, items, lm), np.array([item.family for item in items], object), check)


def _drawn(task: Task, count: int, seed: int) -> list[Item]:
    items = draw(task, "provider", allocate(2 * count, shares(task, {})), derived_seed(seed, "provider"))
    return [items[row] for row in generator(seed, "provider", "order").permutation(len(items))]


def clean_traces(
    teacher: TeacherStage, lm: LanguageModel, n: int, max_tokens: int, seed: int, store: Memos
) -> Examples:
    """At most n undefended, correct responses of the teacher to prompts of the provider's own, in the teacher's tokens.

    Raises:
        ConfigError: the teacher answered none of them right.
    """
    task = teacher.task
    items = _drawn(task, n, seed)[: n + n // 4]
    prompts = prompts_of(task, items, lm)
    count = len(items)
    requests = Requests(
        np.zeros(count),
        np.zeros(count, np.int32),
        np.arange(count),
        prompts.tokens.lengths.astype(np.int32),
        generator(seed, "provider", "sampling").integers(0, 2**62, count),
    )
    backend = ModelBackend(lm, lambda asked: (), store, {"teacher": teacher.key, "decode": []})
    drawn = backend.complete(prompts, requests, Params(max_tokens=max_tokens), _unknown(count))
    texts = lm.decode(drawn.tokens)
    right = [verdict.strict for verdict in task.verdicts(items, texts)]
    kept = np.flatnonzero(np.array(right) & drawn.finished)[:n]
    if len(kept) == 0:
        raise ConfigError("defense", n, "needs clean traces, but the teacher answered none of its own prompts right")
    at = drawn.tokens.value_index(kept)
    channel = drawn.channel[at]
    return Examples(
        prompts.tokens.take(kept),
        Ragged.with_lengths(drawn.tokens.values[at], drawn.tokens.lengths[kept]),
        channel,
        (channel != Channel.TOOL).astype(np.float32),
        np.full(len(kept), -1, np.int64),
        np.zeros(len(kept), bool),
    )


def _unknown(count: int) -> RequestFacts:
    """Requests that nobody in particular sent."""
    zeros = np.zeros(count, np.int64)
    return RequestFacts(zeros.astype(np.int32), zeros.astype(np.bool_), zeros, zeros, zeros)


@dataclass(frozen=True)
class ProxyStudentStage(Stage):
    """Distils the public base model from the undefended teacher, on the provider's own prompts: the student that a provider
    expects an attacker to have."""

    name: ClassVar[str] = "proxy_student"
    version: ClassVar[int] = 1
    seconds: ClassVar[float] = 10.0
    part: ClassVar[str] = "student"

    teacher: TeacherStage
    base: BaseStage
    spec: StudentSpec
    max_tokens: int
    seed: int

    @property
    def task(self) -> Task:
        """The task of the base model."""
        return self.base.task

    def config(self) -> dict[str, Any]:
        """See `Stage.config`."""
        return {"spec": identity(self.spec), "traces": TRACES, "max_tokens": self.max_tokens, "seed": self.seed}

    def inputs(self) -> dict[str, Stage]:
        """The teacher and the base model."""
        return {"teacher": self.teacher, "base": self.base}

    def run(self, context: Context) -> Artifact:
        """Weights of the student."""
        teacher = model_of(self.teacher, context.inputs["teacher"])
        base = model_of(self.base, context.inputs["base"])
        traces = clean_traces(self.teacher, teacher, TRACES, self.max_tokens, self.seed, context.store)
        rows = for_student(traces, teacher, base, SFT())
        fitted = self.spec.fit(base, rows, SFT(), derived_seed(self.seed, self.name), context.progress)
        return Artifact(tensors={"weights": fitted.weights})


ProviderStage = BaseStage | ProxyStudentStage


@dataclass(frozen=True)
class ProviderModels:
    """The provider's models besides the teacher, by the names of `Hooks.uses`.

    Args:
        proxy: the public base model.
        student: one distilled from the teacher; None where no defense of the stack uses it.
    """

    proxy: BaseStage
    student: ProxyStudentStage | None = None

    def inputs(self, proxy: str = "base") -> dict[str, Stage]:
        """As inputs of a stage that opens an API, which calls the proxy by this name."""
        return {proxy: self.proxy, **({} if self.student is None else {"proxy_student": self.student})}

    def loaded(self, inputs: Mapping[str, Entry], proxy: str = "base") -> dict[str, ProviderModel]:
        """What `inputs` gave, for `open_gateway`."""
        found = {"proxy": _loader(self.proxy, inputs[proxy])}
        if self.student is not None:
            found["student"] = _loader(self.student, inputs["proxy_student"])
        return found


def _loader(stage: ProviderStage, entry: Entry) -> ProviderModel:
    load: Callable[[], LanguageModel] = lambda: model_of(stage, entry)  # noqa: E731
    return ProviderModel(stage.key, load)
