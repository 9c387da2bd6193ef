"""Dilute what the teacher said in public data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from attacks.base import Recover, RecoverContext
from configs.errors import require
from lm.examples import Examples


@dataclass(frozen=True)
class CleanMix(Recover):
    """Adds rows of public data until they are a share of all rows.

    What a watermark or a membership test can find falls with the share of rows that came from the teacher; so does what is
    learnt from the teacher, since a student is trained in the same number of steps. Where there are fewer public rows than
    are asked for, each is taken as often as needed. The twin that never meets the teacher (``S_self``) goes without them:
    they are added to hide the teacher's.

    Args:
        fraction: of the final rows that are public, at least 0 and below 1; 0 changes nothing.
    """

    name: ClassVar[str] = "clean_mix"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Sander et al. 2024, arXiv 2402.14904, section 5 (proportion of watermarked training data)"
    adaptive: ClassVar[bool] = True
    without_teacher: ClassVar[bool] = False
    tunes: ClassVar[Mapping[str, tuple[Any, ...]]] = {"fraction": (0.25, 0.5, 0.75)}

    fraction: float = 0.5

    def __post_init__(self) -> None:
        require(0 <= self.fraction < 1, "fraction", self.fraction, "must be at least 0 and below 1")

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. Public rows come last, with ``item`` -1."""
        wanted = round(len(data) * self.fraction / (1 - self.fraction))
        if wanted == 0:
            return data
        public = context.public(wanted)
        return Examples.concat([data, public.take(np.arange(wanted) % len(public))])
