"""What says how strong a defense is: a field, and the values between which it is searched. Knows nothing of searching."""

from __future__ import annotations

import math
from typing import NamedTuple

UNDECLARED = "declares no strength (`strength: ClassVar = Strength(...)`, docs/add-a-defense.md)"
"""What is said of a defense that has none, where one is needed."""


class Strength(NamedTuple):
    """The field along which a defense is compared at matched utility, with its range for calibration.

    Args:
        field: of the defense, a number.
        harmless: the value at which honest users lose nothing. It is the end of the range and never tried itself, so it may
            be one that the field cannot have (a rate of 0).
        strongest: the other end, which is tried; may be the smaller of the two.
        log: whether values are spread by ratio, for ranges over powers of ten; both ends are then positive.
    """

    field: str
    harmless: float
    strongest: float
    log: bool = False

    def at(self, position: float) -> float:
        """The value at a position from 0, harmless, to 1, strongest."""
        if self.log:
            return self.harmless * math.exp(position * math.log(self.strongest / self.harmless))
        return self.harmless + (self.strongest - self.harmless) * position

    def position(self, value: float) -> float:
        """The inverse of `at`."""
        if self.log:
            return math.log(value / self.harmless) / math.log(self.strongest / self.harmless)
        return (value - self.harmless) / (self.strongest - self.harmless)
