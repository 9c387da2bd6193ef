"""Drop repeated rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from attacks.base import Recover, RecoverContext
from lm.examples import Examples


@dataclass(frozen=True)
class Dedup(Recover):
    """Keeps the first of rows with the same prompt and the same completion.

    Different answers to one prompt all stay: they are what a student learns the teacher's variety from.
    """

    name: ClassVar[str] = "dedup"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Lee et al. 2022, arXiv 2107.06499 (exact duplicates)"
    checks: ClassVar[bool] = False

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. Order is kept."""
        return data.take(first_of_each(data)[0])


def first_of_each(data: Examples) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows with the same prompt and completion tokens, as groups in order of first appearance.

    Returns:
        (G,) int64 first row of each group, and (B,) int64 the group of each row.
    """
    seen: dict[tuple[bytes, bytes], int] = {}
    first: list[int] = []
    group = np.zeros(len(data), np.int64)
    for row, (prompt, completion) in enumerate(zip(data.prompts, data.completions, strict=True)):
        key = (prompt.tobytes(), completion.tobytes())
        if key not in seen:
            seen[key] = len(first)
            first.append(row)
        group[row] = seen[key]
    return np.array(first, np.int64), group
