"""The attacker leaves his student as distillation made it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks.base import Refine, RefineContext, Refined


@dataclass(frozen=True)
class Nothing(Refine):
    """Leaves the student as it is: what published evaluations of defenses look at."""

    name: ClassVar[str] = "none"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "control"

    def run(self, context: RefineContext) -> Refined:
        """See `Refine.run`."""
        return Refined(context.student, np.zeros(0, np.float32))
