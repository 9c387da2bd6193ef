"""A board on which providers share indicators: late, for a while, and not all right.

Knows nothing of detectors or of what follows from an indicator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from experiments.campaign.sharing.indicators import KINDS, Cluster, Values, bundle_of

if TYPE_CHECKING:
    import stix2


@dataclass(frozen=True)
class SharingTerms:
    """How indicators go between providers.

    Args:
        latency_hours: from publication until others can read it.
        lifetime_days: for which it is valid, from publication.
        precision: share of indicators that name what was found; the others name something that honest accounts use.
        most: indicators of a kind that are sent of one cluster, the first ones given.
    """

    latency_hours: float = 24.0
    lifetime_days: float = 30.0
    precision: float = 0.95
    most: int = 200

    def __post_init__(self) -> None:
        require(self.latency_hours >= 0, "sharing.latency_hours", self.latency_hours, "must be at least 0")
        reason = "must be longer than the latency"
        require(24 * self.lifetime_days > self.latency_hours, "sharing.lifetime_days", self.lifetime_days, reason)
        require(0 <= self.precision <= 1, "sharing.precision", self.precision, "must be between 0 and 1")
        require(self.most >= 1, "sharing.most", self.most, "must be at least 1")


class _Sent(NamedTuple):
    provider: str
    day: float
    values: Values


class IndicatorBoard:
    """Where providers publish indicators and read those of others.

    Args:
        exchange: how.
    """

    def __init__(self, exchange: SharingTerms) -> None:
        self.exchange = exchange
        self._sent: list[_Sent] = []

    def publish(
        self,
        provider: str,
        day: float,
        cluster: Cluster,
        honest: Mapping[str, NDArray[np.integer]],
        rng: np.random.Generator,
    ) -> stix2.Bundle:
        """Tell the others of a cluster, and write down how. A bundle takes about 2 ms an indicator; `tell` takes none.

        Args:
            provider: who publishes.
            day: now, in virtual days.
            cluster: what was found.
            honest: by kind, what honest accounts use; wrong indicators are drawn from it. A kind that is empty has none.
            rng: explicit.

        Returns:
            The bundle: provider, techniques, threat actor, campaign, sighting, indicators and what relates them.
        """
        values = self.tell(provider, day, cluster, honest, rng)
        return bundle_of(provider, day, cluster, values, self.exchange.lifetime_days)

    def tell(
        self,
        provider: str,
        day: float,
        cluster: Cluster,
        honest: Mapping[str, NDArray[np.integer]],
        rng: np.random.Generator,
    ) -> Values:
        """As `publish`, without the bundle: what is sent, which `bundle_of` can still make one of."""
        values: Values = {}
        for kind in KINDS:
            found = np.asarray(cluster.values.get(kind, ()), np.int32)[: self.exchange.most]
            pool = np.asarray(honest.get(kind, ()), np.int32)
            wrong = rng.random(len(found)) >= self.exchange.precision
            if len(pool):
                found = np.where(wrong, rng.choice(pool, len(found)), found)
            values[kind] = np.unique(found).astype(np.int32)
        self._sent.append(_Sent(provider, day, values))
        return values

    def read(self, provider: str, day: float, since: float = -np.inf) -> Values:
        """What others have published, has arrived and is still valid.

        Args:
            provider: who reads; its own indicators are left out.
            day: now, in virtual days.
            since: leave out what had arrived by this day.
        """
        late, life = self.exchange.latency_hours / 24, self.exchange.lifetime_days
        there = [
            sent.values
            for sent in self._sent
            if sent.provider != provider and since < sent.day + late <= day < sent.day + life
        ]
        return {kind: np.unique(np.concatenate([_NONE, *(v[kind] for v in there)])) for kind in KINDS}


_NONE = np.zeros(0, np.int32)
