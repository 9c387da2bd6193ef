"""Which defense the others are compared with at equal honest accuracy."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations
from typing import NamedTuple

from configs.errors import ConfigError
from defenses.strength import UNDECLARED

EVERY_PAIR = "all"
"""In the place of a name: every defense is compared with every other."""
FIELD = "report.reference"


class Reference(NamedTuple):
    """What is asked for.

    Args:
        name: of a defense as it stands in the table, or `EVERY_PAIR`; "" for the first by name.
        required: whether a table without that defense is a mistake; otherwise the first by name takes its place.
    """

    name: str = ""
    required: bool = False

    def among(self, names: Collection[str]) -> str | None:
        """The reference among some defenses; None where the one that has to be is not one of them."""
        if self.name == EVERY_PAIR or self.name in names:
            return self.name
        return None if self.required or not names else min(names)

    def require(self, names: Collection[str], others: Collection[str] = ()) -> None:
        """Raise `ConfigError` where a table of these defenses lacks the one that has to be there.

        Args:
            names: of defenses that are compared.
            others: of those that are there and declare no strength.
        """
        if self.required and self.among(names) is None:
            if self.name in others:
                reason = (
                    f"{UNDECLARED}, so it cannot be compared at equal honest accuracy: see `less` in docs/tables.md"
                )
                raise ConfigError(FIELD, self.name, reason)
            reason = "is not a defense whose strengths are compared here"
            raise ConfigError(FIELD, self.name, reason, (*sorted(names), EVERY_PAIR))


FIRST = Reference()
"""The first defense by name."""


def pairs(names: Sequence[str], reference: str) -> list[tuple[str, str]]:
    """Who is compared with whom: the reference with each other defense, or each with each."""
    if reference == EVERY_PAIR:
        return list(combinations(sorted(names), 2))
    return [(reference, name) for name in names if name != reference]
