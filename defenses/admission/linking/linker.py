"""Accounts that do the same at the same time, again and again: SynchroTrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from configs.ranges import at_least
from defenses.admission.detector import Suspicion
from defenses.admission.linking.actions import HOUR, KINDS
from defenses.admission.linking.incidence import Incidence, incidence
from defenses.admission.linking.link_detector import LinkDetector
from defenses.admission.linking.links import Edges, Links, edges_of, link
from defenses.base import AdmissionState, Prepared, Traffic
from defenses.strength import Strength

MOST_EDGES = 20_000
"""Edges of the largest group that are kept for a picture."""

FOUND = 2.0
"""Score from which on an account is in a group that is large enough."""


@dataclass(frozen=True)
class Linker(LinkDetector):
    """Links accounts whose actions coincide and reports connected groups of them.

    An action is ⟨account, constraint, time⟩ (section 4.1 of the paper). It becomes two tokens, (kind, value, bucket) in each
    of two grids of buckets, the second half a bucket later: two accounts that did the same within half a bucket share at
    least one of the two tokens wherever the edges of buckets fall, and both if no edge falls between. Tokens of too many
    accounts are dropped, from unions too. Two accounts are linked where they share enough tokens and these are a large
    enough part of all they have; connected components that are large enough are found.

    Standing attributes (payment, fingerprint, network) carry the time too, as in the paper. Without it each would be one
    token among dozens, could never make up ``shared`` by itself, and would link honest users of one gateway who never met
    there. That one is repeated in every hour in which an account is active does not let it dominate: it counts once an hour
    and grid however many requests there are, where templates count once each; and it counts for a pair only in hours in
    which both are active, while in the others it adds to the union.

    Score: an account without any link has less than 1, namely how near it came (`Links.best`);
    one in a group too small to be found has 1 + (size - 1) / least; one in a found group 2 + the number of accounts it is
    linked with. So the threshold is 2. What is left in ``memory["links"]`` is an `Edges` of the largest group found, for a
    picture.

    What more than ``max_frequency`` accounts do in the same hour (one fixed prompt of a very large pool, say) links nobody.

    Args:
        constraints: as in the other detectors, and ``release``: asked within 24 h after a model release.
        jaccard: least share of two accounts' tokens that both have.
        shared: fewest tokens that both have.
        max_frequency: a token of more accounts than this is dropped.
        bucket_hours: length of a bucket.
        release_days: days from the start at which models were released.
    """

    name: ClassVar[str] = "linker"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Cao et al., SynchroTrap, CCS 2014, sections 4 and 5"
    checked: ClassVar[str] = "the definition, pair by pair, with networkx (hypothesis)"
    strength: ClassVar[Strength | None] = Strength("jaccard", 1, 0.05)
    offered: ClassVar[tuple[str, ...]] = KINDS

    constraints: tuple[str, ...] = KINDS
    jaccard: float = 0.25
    shared: int = 5
    max_frequency: int = 400
    bucket_hours: float = 1.0
    release_days: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.jaccard <= 1, "detector.jaccard", self.jaccard, "must be above 0 and at most 1")
        require(self.shared >= 1, "detector.shared", self.shared, "must be at least 1")
        require(self.max_frequency >= 2, "detector.max_frequency", self.max_frequency, "must be at least 2")
        long = self.memory_hours / 2**22 < self.bucket_hours <= self.memory_hours
        require(long, "detector.bucket_hours", self.bucket_hours, "must be more than 0 and at most memory_hours")
        at_least(self, 0, "release_days")
        in_order = all(a < b for a, b in zip(self.release_days, self.release_days[1:], strict=False))
        require(in_order, "detector.release_days", self.release_days, "must be in order, each once")

    @property
    def slot(self) -> float:
        """Half a bucket, so that a slot lies in one bucket of each grid."""
        return 0.5 * HOUR * self.bucket_hours

    @property
    def timed(self) -> bool:
        """The time is part of an action."""
        return True

    @property
    def releases(self) -> tuple[float, ...]:
        """See `LinkDetector.releases`."""
        return self.release_days

    def fit(self, benign: Traffic, red_team: Traffic | None, rng: np.random.Generator) -> Prepared:
        """Nothing: the thresholds are the paper's and this project's fields."""
        return {}

    def examine(self, state: AdmissionState, now: float) -> Suspicion:
        """Score every account that did something new, and all of a group in which one did, banned ones left out."""
        account, key, fresh = self.tokens(state, now)
        index = incidence(account, key, self.max_frequency)
        links = link(index, self.jaccard, self.shared)
        size = np.bincount(links.component, minlength=1)[links.component]
        state.memory["links"] = self._picture(index, links, size)
        found = size >= self.least
        score = np.where(size == 1, np.minimum(links.best, np.nextafter(1.0, 0.0)), 1.0 + (size - 1) / self.least)
        score[found] = FOUND + links.links[found]
        new = np.isin(index.account, fresh)
        told = (new | (found & np.isin(links.component, links.component[new]))) & ~state.accounts.banned[index.account]
        cluster = np.where(found, links.component, -1).astype(np.int32)
        return Suspicion(index.account[told], score[told], found[told], cluster[told])

    def _picture(self, index: Incidence, links: Links, size: NDArray[np.integer]) -> Edges:
        """Links of the largest group found, the first of them where several are as large; none where none is found."""
        largest = int(np.argmax(size)) if len(size) and size.max() >= self.least else -1
        members = np.flatnonzero(links.component == links.component[largest]) if largest >= 0 else np.zeros(0, np.int64)
        count = int(links.links[members].sum()) // 2
        return edges_of(index, members, self.jaccard, self.shared, count, MOST_EDGES)
