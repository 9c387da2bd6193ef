"""Answer suspects otherwise than everybody else. Knows neither who suspects them nor what is done to their answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import ConfigError
from defenses.base import (
    Defense,
    Detection,
    Evidence,
    Preparation,
    Prepared,
    ReleaseContext,
    RequestFacts,
    Serving,
    hooks_of,
)
from defenses.release.trace_hidden import TraceHidden
from lm.later import torch
from teacher.api.schema import Responses

if TYPE_CHECKING:
    from torch import Tensor

    from lm.types import Processor

SAYS = ("needs", "uses", "across_accounts", "trains", "rewords", "reads_logprobs", "chooses_tokens")
"""What the inner defense says of itself and holds for this one too."""
NOT_FOR_SOME = ("admit", "serve", "seeds")
"""Hooks that cannot be had for some requests and not for others."""


@dataclass(frozen=True)
class Suspects(Defense):
    """Does what another defense does, to marked requests alone; all others are answered as without it.

    Marks come from defenses of admission in the same stack: a detector marks instead of refusing with ``action: mark``
    (``defense=[behaviour,suspects] defense.behaviour.action=mark``). Where nothing marks, nothing happens. A suspect is not
    told that he is one, but can see it in what he gets. What the inner defense prepares and detects is its own.

    Args:
        inner: what is done to them: a defense that acts while the teacher samples, or at release.

    Raises:
        ConfigError: ``inner`` does neither, or judges requests, serves another model or draws for all accounts too.
    """

    name: ClassVar[str] = "suspects"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "provider practice: suspected responses subtly altered (CISA AA26-251A)"
    checked: ClassVar[str] = "the inner defense itself, on marked rows"

    inner: Defense = field(default_factory=TraceHidden)

    def __post_init__(self) -> None:
        acts = hooks_of(self.inner)
        if not {"decode", "release"} & set(acts) or set(NOT_FOR_SOME) & set(acts):
            reason = f"must act at decode or release, and not at {' or '.join(NOT_FOR_SOME)}; it acts at "
            raise ConfigError("suspects.inner", self.inner.name, reason + (" and ".join(acts) or "nowhere"))
        for said in SAYS:
            object.__setattr__(self, said, getattr(self.inner, said))
        object.__setattr__(self, "sees", tuple(dict.fromkeys((*self.inner.sees, "marked"))))

    def acts(self, hook: str) -> bool:
        """Where the inner defense does."""
        return self.inner.acts(hook)

    def asks_teacher(self) -> bool:
        """See `Hooks.asks_teacher`."""
        return self.inner.asks_teacher()

    def prepares_as(self) -> Defense:
        """See `Defense.prepares_as`: what is prepared does not depend on whom it is for."""
        return self.inner.prepares_as()

    def prepare(self, context: Preparation) -> Prepared:
        """What the inner defense prepares."""
        return self.inner.prepare(context)

    def decode(self, serving: Serving, asked: RequestFacts) -> Processor | None:
        """Change what is sampled for marked requests."""
        if not asked.marked.any():
            return None
        inner = self.inner.decode(serving, asked)
        if inner is None or asked.marked.all():
            return inner
        return (_DrawsForMarked if hasattr(inner, "draw") else _ForMarked)(inner, asked.marked)

    def release(self, responses: Responses, context: ReleaseContext) -> Responses:
        """Change the responses to marked requests."""
        marked = context.asked.marked[responses.request]
        if not marked.any():
            return responses
        changed = self.inner.release(responses.where(marked), context)
        if marked.all():
            return changed
        order = np.concatenate([np.flatnonzero(~marked), np.flatnonzero(marked)])
        return Responses.concat([responses.where(~marked), changed]).take(np.argsort(order))

    def detect(self, context: Detection) -> Evidence | None:
        """What the inner defense detects."""
        return self.inner.detect(context)


class _ForMarked:
    """Another processor's scores in the rows of suspects, the scores as they were in all others.

    Args:
        inner: the other one.
        marked: (R,) whether each response is a suspect's.
    """

    def __init__(self, inner: Processor, marked: NDArray[np.bool_]) -> None:
        self.inner, self.marked, self.here = inner, marked, marked

    def begin(self, rows: NDArray[np.int64]) -> None:
        """The next batch holds these rows (B,) of the responses."""
        self.here = self.marked[rows]
        if hasattr(self.inner, "begin"):
            self.inner.begin(rows)

    def step(self, lines: NDArray[np.int64]) -> None:
        """In the next call only these lines (b,) of the batch still grow."""
        if hasattr(self.inner, "step"):
            self.inner.step(lines[self.here[lines]])

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V)."""
        marked = torch.from_numpy(self.here).to(scores.device)
        return torch.where(marked[:, None], self.inner(input_ids, scores), scores)


class _DrawsForMarked(_ForMarked):
    """The same of a processor that chooses tokens itself."""

    def draw(self, input_ids: Tensor, scores: Tensor, drawn: Tensor) -> Tensor:
        """Tokens (B,)."""
        marked = torch.from_numpy(self.here).to(scores.device)
        tokens: Tensor = self.inner.draw(input_ids, scores, drawn)  # type: ignore[attr-defined]
        return torch.where(marked, tokens, drawn)
