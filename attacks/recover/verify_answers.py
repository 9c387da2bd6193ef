"""Keep what the attacker's own checker accepts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from attacks.base import Recover, RecoverContext
from lm.examples import Examples
from lm.types import Channel


@dataclass(frozen=True)
class VerifyAnswers(Recover):
    """Drops responses whose answer the attacker's own checker finds wrong (rejection sampling).

    A row is checked where it answers a prompt of his own and shows an answer. Rows that cannot be told (no checker for
    the family, no visible answer, rows from elsewhere) stay or go by ``keep_unknown``.

    Args:
        keep_unknown: whether rows of which the checker cannot tell are kept.
    """

    name: ClassVar[str] = "verify_answers"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Zelikman et al. 2022 (STaR), arXiv 2203.14465; Yuan et al. 2023 (RFT), arXiv 2308.01825"
    adaptive: ClassVar[bool] = True
    tunes: ClassVar[Mapping[str, tuple[Any, ...]]] = {"keep_unknown": (True, False)}

    keep_unknown: bool = True

    def apply(self, data: Examples, context: RecoverContext) -> Examples:
        """See `Recover.apply`. Order is kept."""
        keep = [self.keep_unknown if right is None else right for right in verdicts(data, context)]
        return data.where(np.array(keep, np.bool_))


def verdicts(data: Examples, context: RecoverContext) -> list[bool | None]:
    """(B) what the attacker's own checker says of each row; None where it cannot tell, and of rows that show no answer or
    are no answer to a prompt of his."""
    row = data.completions.row_of_value
    answered = np.bincount(row[data.channel == Channel.ANSWER], minlength=len(data)) > 0
    asked = np.flatnonzero(answered & (data.item >= 0))
    said: list[bool | None] = [None] * len(data)
    for at, text in zip(asked.tolist(), context.decode(data.take(asked)), strict=True):
        said[at] = context.check(int(data.item[at]), text)
    return said
