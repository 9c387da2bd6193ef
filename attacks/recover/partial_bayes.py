"""Believe what could have been sold so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from attacks.base import Recover, RecoverContext
from attacks.knowledge import Level
from attacks.recover.posterior_pairs import SoldPairs, undone
from configs.errors import require
from configs.ranges import at_least
from lm.examples import Examples

CHUNK = 8192
"""Tokens that are looked up at once."""


@dataclass(frozen=True)
class PartialBayes(Recover):
    """The partial Bayes attack: the mean of the true probabilities of all pairs in a table whose sold side is within a
    tolerance of what was sold; of the nearest pair where none is.

    The table is what the attacker tried out (`attacks.knowledge.Rehearsed`), so it follows the distribution of his own model
    and not the teacher's: the "partial" in the name. Distances are L1 over the k sold probabilities, in the order in which
    they are listed, and the mass of all other tokens; the mean is over at most ``most`` nearest pairs.

    Where nothing that was tried out came back with its own tokens, or no probabilities are sold, rows stay as they are.

    Args:
        tolerance: L1 distance, at least 0.
        most: pairs of a mean.
    """

    name: ClassVar[str] = "partial_bayes"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Tang et al. 2024 (ModelGuard), CCS, partial Bayes attack (and the authors' code)"
    adaptive: ClassVar[bool] = True
    without_teacher: ClassVar[bool] = False
    rehearses: ClassVar[Level] = "method"
    checks: ClassVar[bool] = False

    tolerance: float = 0.02
    most: int = 64

    def __post_init__(self) -> None:
        require(self.tolerance >= 0, "tolerance", self.tolerance, "must be at least 0")
        at_least(self, 1, "most")

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. Order is kept."""
        return undone(data, context, self.posterior_means)

    def posterior_means(self, pairs: SoldPairs, sold: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, C) mean of the true bins that may have been sold as these (N, C)."""
        from scipy.spatial import cKDTree

        tree, most = cKDTree(pairs.served), min(self.most, len(pairs.served))
        different, of = np.unique(sold, axis=0, return_inverse=True)
        found = np.empty_like(different)
        for at in range(0, len(different), CHUNK):
            queried = tree.query(different[at : at + CHUNK], k=np.arange(1, most + 1), p=1)
            distance, nearest = (np.asarray(table) for table in queried)
            near = distance <= np.maximum(distance[:, :1], self.tolerance)
            mean = (pairs.clean[nearest] * near[..., None]).sum(1) / near.sum(1)[:, None]
            found[at : at + CHUNK] = mean
        return found[of.reshape(-1)]
