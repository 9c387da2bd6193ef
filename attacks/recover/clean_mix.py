"""Dilute what the teacher said in other data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from attacks.base import Recover, RecoverContext
from attacks.recover.pairs_file import content_of, pairs_of
from configs.errors import require
from configs.identity import added
from lm.examples import Examples


@dataclass(frozen=True)
class CleanMix(Recover):
    """Adds rows of public data, or of a file, until they are a share of all rows.

    What a watermark or a membership test can find falls with the share of rows that came from the teacher; so does what is
    learnt from the teacher, since a student is trained in the same number of steps. Where there are fewer rows to add than
    are asked for, each is taken as often as needed. The twin that never meets the teacher (``S_self``) goes without them:
    they are added to hide the teacher's.

    The file is the attacker's own. Of its prompts those that ask for what is scored are left out, as of all that he asks.

    Args:
        fraction: of the final rows that are added, at least 0 and below 1; 0 changes nothing.
        path: a JSON-lines file of ``{"prompt": …, "response": …}``, drawn from at random; "" for public data.
    """

    name: ClassVar[str] = "clean_mix"
    version: ClassVar[int] = 1
    places: ClassVar[tuple[str, ...]] = ("path",)
    source: ClassVar[str] = "Sander et al. 2024, arXiv 2402.14904, section 5 (proportion of watermarked training data)"
    adaptive: ClassVar[bool] = True
    without_teacher: ClassVar[bool] = False
    checks: ClassVar[bool] = False
    tunes: ClassVar[Mapping[str, tuple[Any, ...]]] = {"fraction": (0.25, 0.5, 0.75)}

    fraction: float = 0.5
    path: str = added("")

    def __post_init__(self) -> None:
        require(0 <= self.fraction < 1, "fraction", self.fraction, "must be at least 0 and below 1")

    def content(self) -> str:
        """See `Part.content`: of the file, which is read for it, so that a bad one is refused before anything runs."""
        return content_of(self.path, _FIELD) if self.path else ""

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. Added rows come last, with ``item`` -1."""
        wanted = round(len(data) * self.fraction / (1 - self.fraction))
        if wanted == 0:
            return data
        clean = self._of_file(wanted, context) if self.path else context.public(wanted)
        require(len(clean) > 0, _FIELD, self.path, "has no prompt that does not ask for what is scored")
        return Examples.concat([data, clean.take(np.arange(wanted) % len(clean))])

    def _of_file(self, wanted: int, context: RecoverContext) -> Examples:
        """At most so many rows of the file."""
        assert context.rows is not None
        pairs = pairs_of(self.path, _FIELD)
        chosen = [pairs[at] for at in context.rng.permutation(len(pairs))]
        rows = context.rows([pair.prompt for pair in chosen], [pair.response for pair in chosen])
        return rows.take(np.arange(min(wanted, len(rows))))


_FIELD = "attack.recover.clean_mix.path"
