"""Words of a trace exchanged for others that say the same. Which these are, the response format knows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lm.types import ResponseFormat


def worded_anew(
    tokens: NDArray[np.int32], where: NDArray[np.bool_], format: ResponseFormat, rng: np.random.Generator
) -> NDArray[np.int32]:
    """(N,) the tokens, each of those ``where`` it holds exchanged for another of its synonyms, drawn uniformly; a token
    without any stays."""
    new = tokens.copy()
    for group in format.synonyms:
        if len(group) > 1:
            order = np.argsort(group)
            at = np.flatnonzero(where & np.isin(tokens, group))
            own = order[np.searchsorted(group[order], tokens[at])]
            new[at] = group[(own + rng.integers(1, len(group), len(at))) % len(group)]
    return new
