"""Harvested rows as a model of the attacker's own reads them, each with the row that it was. Knows no defense."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from attacks.base import RecoverContext
from lm.examples import Examples

if TYPE_CHECKING:
    from lm.language_model import LanguageModel


class ReadRows(NamedTuple):
    """R of B rows.

    Args:
        rows: R, in the tokens of the attacker's model, as the cell's objective reads them.
        origin: (R,) which of the B rows each was: an objective without working drops rows that then say nothing.
    """

    rows: Examples
    origin: NDArray[np.int64]


def read(data: Examples, context: RecoverContext) -> ReadRows:
    """The rows for his own model; ``item`` stays what it was."""
    assert context.own is not None, "a step that reads with a model says that it `trains`"
    numbered = context.own(replace(data, item=np.arange(len(data))))
    origin = numbered.item
    return ReadRows(replace(numbered, item=data.item[origin]), origin)


def mean_logprob(lm: LanguageModel, rows: Examples) -> NDArray[np.float64]:
    """(R,) mean log-probability of what each row teaches, by the weights of its tokens; NaN where it teaches nothing."""
    row, weight = rows.completions.row_of_value, rows.weight.astype(np.float64)
    logprob = lm.score(rows.prompts, rows.completions).logprob.astype(np.float64)
    total = np.bincount(row, logprob * weight, minlength=len(rows))
    weights = np.bincount(row, weight, minlength=len(rows))
    mean: NDArray[np.float64] = np.divide(total, weights, out=np.full(len(rows), np.nan), where=weights > 0)
    return mean
