"""Answer suspects otherwise than everybody else. Knows neither who suspects them nor what is done to their answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from configs.errors import ConfigError
from defenses.base import Defense, ReleaseContext, hooks_of
from defenses.release.trace_hidden import TraceHidden
from teacher.api.schema import Responses


@dataclass(frozen=True)
class Suspects(Defense):
    """Applies another release defense to the responses of marked requests alone; all others leave as they are.

    Marks come from defenses of admission in the same stack: a detector marks instead of refusing with ``action: mark``
    (``defense=[behaviour,suspects] defense.behaviour.action=mark``). Where nothing marks, nothing happens. A suspect is not
    told that he is one, but can see it in what he gets.

    Args:
        inner: what is done to them: a defense that acts at release and nowhere else.

    Raises:
        ConfigError: ``inner`` does not act at release, or acts elsewhere too.
    """

    name: ClassVar[str] = "suspects"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "provider practice: suspected responses subtly altered (CISA AA26-251A)"

    inner: Defense = field(default_factory=TraceHidden)

    def __post_init__(self) -> None:
        acts = hooks_of(self.inner)
        if acts != ("release",):
            where = " and ".join(acts) or "nowhere"
            raise ConfigError("suspects.inner", self.inner.name, f"must act at release alone; it acts at {where}")
        for said in ("needs", "uses", "across_accounts"):  # what the inner defense says of itself holds for this one
            object.__setattr__(self, said, getattr(self.inner, said))

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
