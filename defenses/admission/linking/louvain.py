"""Communities of accounts that share networks: Louvain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from configs.errors import require
from defenses.admission.linking.actions import Tokens
from defenses.admission.linking.communities import graph_of, louvain, within
from defenses.admission.linking.incidence import incidence
from defenses.admission.linking.link_detector import FittedLinkDetector, Ranked
from defenses.base import AdmissionState


@dataclass(frozen=True)
class Louvain(FittedLinkDetector):
    """Finds communities in the graph of accounts that used the same networks, and reports those that are dense.

    Two accounts are joined by the sum of 1 / log(d) over what both used, d being how many accounts used it (Adamic and
    Adar): a network of two says more than one of hundreds. Communities maximise modularity. Joining shared networks alone
    merges whoever rents from the same proxies.

    Score: 1 + (weight of edges within the community) / (its accounts) in a community of ``least`` accounts or more, and
    x / (1 + x) < 1 of the same x in smaller ones.

    Args:
        max_frequency: what more accounts than this have in common joins none of them: it says little, and the edges would
            fill the memory (half its square each).
    """

    name: ClassVar[str] = "louvain"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "Blondel et al., Fast unfolding of communities in large networks, J. Stat. Mech. P10008, 2008"
    )
    checked: ClassVar[str] = "networkx: its modularity, partitions as good as its own"
    floor: ClassVar[float] = 1.0

    constraints: tuple[str, ...] = ("network",)
    max_frequency: int = 400

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.max_frequency >= 2, "detector.max_frequency", self.max_frequency, "must be at least 2")

    def rank(self, state: AdmissionState, tokens: Tokens, now: float) -> Ranked:
        """Communities and their density."""
        index = incidence(tokens.account, tokens.key, self.max_frequency)
        graph = graph_of(index, 1.0 / np.log(index.frequency))
        community = louvain(graph)
        size = np.bincount(community)
        dense = (within(graph, community) / np.maximum(size, 1))[community]
        large = (size >= self.least)[community]
        score = np.where(large, 1.0 + dense, dense / (1.0 + dense))
        return Ranked(index.account, score, np.where(large, community, -1).astype(np.int32))
