"""Harvested rows of one kind: of one family, of one prompt. Steps that compare rows compare them within a group, so that the
attacker's mix stays what it is. Knows nothing of what is compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from attacks.base import RecoverContext
from lm.examples import Examples


def families(data: Examples, context: RecoverContext) -> NDArray[np.int64]:
    """(B,) a number for the family of each row, as the attacker labels his prompts; -1 for rows from elsewhere."""
    own = data.item >= 0
    labels = np.full(len(data), "", object)
    known = own & (data.item < len(context.family))
    labels[known] = context.family[data.item[known]]
    number = np.full(len(data), -1, np.int64)
    number[own] = np.unique(labels[own].astype(str), return_inverse=True)[1]
    return number


def members(group: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows of each group, in their order; groups below 0 are none."""
    order = np.argsort(group, kind="stable")
    order = order[group[order] >= 0]
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if len(order) else []
