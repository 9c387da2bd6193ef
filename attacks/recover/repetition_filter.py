"""Drop responses that repeat themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from attacks.base import Recover, RecoverContext
from configs.ranges import at_least, between
from lm.examples import Examples
from lm.ragged import Ragged


@dataclass(frozen=True)
class RepetitionFilter(Recover):
    """Drops rows of which more than a share of the n-grams were there before in the same response.

    The share is seq-rep-n = 1 − (different n-grams) / (n-grams), over all tokens of a response, and 0 where it is shorter
    than n. Defenses that push a teacher away from what it would say make it loop; Allouah et al. (arXiv 2605.22737) drop
    such traces in their authors' code, by runs of one token. Rows from elsewhere are looked at too.

    Args:
        n: length of the n-grams, at least 1.
        most: largest share that is kept, 0 to 1; 1 keeps all.
    """

    name: ClassVar[str] = "repetition_filter"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Welleck et al. 2020, arXiv 1908.04319 (seq-rep-n)"
    adaptive: ClassVar[bool] = True
    checks: ClassVar[bool] = False

    n: int = 4
    most: float = 0.2

    def __post_init__(self) -> None:
        at_least(self, 1, "n")
        between(self, 0, 1, "most")

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. Order is kept."""
        return data.where(repeated(data.completions, self.n) <= self.most)


def repeated(rows: Ragged, n: int) -> NDArray[np.float64]:
    """(B,) share of each row's n-grams that occurred earlier in it."""
    first = np.flatnonzero(rows.position + n <= rows.lengths[rows.row_of_value])
    row = rows.row_of_value[first]
    # Each n-gram gets a number of its own, a token at a time: exact for every vocabulary and n.
    gram = row
    for place in range(n):
        pair = np.stack([gram, rows.values[first + place]])
        gram = np.unique(pair, axis=1, return_inverse=True)[1].reshape(-1)
    _, earliest = np.unique(gram, return_index=True)
    count = np.bincount(row, minlength=len(rows))
    different = np.bincount(row[earliest], minlength=len(rows))
    share: NDArray[np.float64] = np.where(count > 0, 1 - different / np.maximum(count, 1), 0.0)
    return share
