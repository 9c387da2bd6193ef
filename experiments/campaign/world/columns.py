"""Columns that grow with the accounts of a provider. Knows nothing of what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Columns:
    """Named arrays of one length, new rows filled with each column's own blank.

    Args:
        blanks: name -> value of a new row; its type is the column's.
    """

    def __init__(self, blanks: Mapping[str, Any]) -> None:
        self._blanks = dict(blanks)
        self._held = {name: np.zeros(0, np.asarray(blank).dtype) for name, blank in blanks.items()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._held[name]

    def __iter__(self) -> Any:
        return iter(self._held)

    def grow(self, length: int) -> None:
        """Make room for this many rows."""
        for name, column in self._held.items():
            if len(column) < length:
                more = np.full(length - len(column), self._blanks[name], column.dtype)
                self._held[name] = np.concatenate([column, more])
