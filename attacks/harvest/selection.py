"""Which prompts of a pool to ask: shares of the families, draws without replacement. Knows nothing of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from attacks.base import Pool
from attacks.budget import allocate
from configs.errors import ConfigError, require


def quotas(pool: Pool, total: int) -> dict[str, int]:
    """How many distinct prompts of each family to ask when ``total`` are asked in the pool's mix.

    Raises:
        ConfigError: nothing may be asked, or a family has fewer prompts in the pool than its share.
    """
    require(total >= 1, "budget.queries", total, "leaves nothing to ask")
    counts = allocate(total, pool.mix)
    for family, count in counts.items():
        owned = int((pool.family == family).sum())
        if count > owned:
            reason = (
                f"asks {count} different prompts of family {family!r}, of which the attacker owns {owned}; "
                "lower budget.queries, raise budget.data or change budget.mix"
            )
            raise ConfigError("budget.queries", total, reason)
    return counts


def draw(pool: Pool, counts: Mapping[str, int], rng: np.random.Generator) -> NDArray[np.int64]:
    """Distinct prompts, ``counts[family]`` of each family, in random order, so that a harvest that is cut short keeps
    the mix."""
    chosen = [
        rng.choice(np.flatnonzero(pool.family == family), count, replace=False) for family, count in counts.items()
    ]
    return rng.permutation(np.concatenate(chosen).astype(np.int64))


def interleaved(parts: Sequence[NDArray[np.int64]], rng: np.random.Generator) -> NDArray[np.int64]:
    """All prompts of the parts in an order that mixes these at random and keeps the order within each, so that a harvest
    that is cut short keeps the mix and has asked the first of each."""
    part = rng.permutation(np.repeat(np.arange(len(parts)), [len(p) for p in parts]))
    mixed = np.empty(len(part), np.int64)
    for number, prompts in enumerate(parts):
        mixed[part == number] = prompts
    return mixed
