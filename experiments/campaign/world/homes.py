"""Networks that honest accounts come from: homes and companies of Zipf-like popularity, clouds. Knows nothing of what is
sent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.campaign.world.hard_negatives import HardNegative

NETWORKS = 60_000
"""Consumer and company networks (/24) that honest users come from; proxies exit from some of them too."""
CLOUD_NETWORKS = 4_000
"""Networks of clouds, numbered after the consumer ones."""


class Homes(NamedTuple):
    """Networks of A accounts.

    Args:
        networks: (A,) how many each uses.
        number: their numbers, end to end.
        dwell: (A,) seconds for which one is kept.
    """

    networks: NDArray[np.int64]
    number: NDArray[np.int32]
    dwell: NDArray[np.float64]


def homes(kind: NDArray[np.int16], special: list[HardNegative | None], rng: np.random.Generator) -> Homes:
    """A home network of Zipf-like popularity and now and then another; companies and clouds where the kind says so."""
    n = len(kind)
    count = 1 + (rng.random(n) < 0.4) + (rng.random(n) < 0.15)
    dwell = np.full(n, 6 * 3600.0)
    cloud = np.zeros(n, np.bool_)
    for number, one in enumerate(special):
        if one is not None:
            rows = kind == number
            count[rows], cloud[rows], dwell[rows] = one.networks, one.cloud, 900.0
    total = int(count.sum())
    of_cloud = np.repeat(cloud, count)
    drawn = np.where(
        of_cloud, NETWORKS + (CLOUD_NETWORKS * rng.random(total) ** 2), (NETWORKS * rng.random(total) ** 1.3)
    ).astype(np.int32)
    return Homes(count.astype(np.int64), drawn, dwell)
