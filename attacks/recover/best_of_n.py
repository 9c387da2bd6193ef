"""Of several answers to one prompt, keep the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from attacks.base import Recover, RecoverContext
from attacks.recover.comparable import members
from attacks.recover.own_reading import mean_logprob, read
from attacks.recover.verify_answers import verdicts
from configs.errors import ConfigError
from configs.ranges import at_least
from lm.examples import Examples

ORDERS = ("shortest", "longest", "likeliest")


@dataclass(frozen=True)
class BestOfN(Recover):
    """Keeps the ``keep`` best rows of each prompt: by the attacker's own checker first, then by ``then``, then those that
    came first.

    The checker ranks right above untold above wrong, as the verifier of the paper does, only that it has three values. Among
    rows that it cannot tell apart it is taste: the shortest working, the longest, or the one that the attacker's own model,
    before any query, finds likeliest a token (rows that teach it nothing are last). Rows from elsewhere stay.

    Args:
        keep: rows kept of each prompt.
        then: "shortest", "longest" (in tokens of the response) or "likeliest".
        wrong: whether rows that the checker finds wrong are kept where a prompt has nothing better.
    """

    name: ClassVar[str] = "best_of_n"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Cobbe et al. 2021, arXiv 2110.14168, section 4 (ranking samples by a verifier)"
    adaptive: ClassVar[bool] = True
    trains: ClassVar[bool] = True

    keep: int = 1
    then: Literal["shortest", "longest", "likeliest"] = "shortest"
    wrong: bool = False

    def __post_init__(self) -> None:
        at_least(self, 1, "keep")
        if self.then not in ORDERS:
            raise ConfigError("then", self.then, "is no order of rows", ORDERS)

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. Order is kept."""
        worth = {True: 1, None: 0, False: -1}
        verdict = np.array([worth[right] for right in verdicts(data, context)], np.int64)
        taste = self._taste(data, context)
        kept = data.item < 0
        for rows in members(data.item):
            best = rows[np.lexsort((-taste[rows], -verdict[rows]))][: self.keep]
            kept[best] = self.wrong | (verdict[best] >= 0)
        return data.where(kept)

    def _taste(self, data: Examples, context: RecoverContext) -> NDArray[np.float64]:
        """(B,) more is better."""
        if self.then != "likeliest":
            length = data.completions.lengths.astype(np.float64)
            return length if self.then == "longest" else -length
        assert context.student is not None
        rows, origin = read(data, context)
        taste = np.full(len(data), -np.inf)
        if len(rows):
            taste[origin] = np.nan_to_num(mean_logprob(context.student(), rows), nan=-np.inf)
        return taste
