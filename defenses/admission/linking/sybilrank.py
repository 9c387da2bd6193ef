"""Trust that flows from verified accounts along what accounts have in common: SybilRank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from defenses.admission.linking.actions import Tokens
from defenses.admission.linking.incidence import Incidence, incidence
from defenses.admission.linking.link_detector import FittedLinkDetector, Ranked
from defenses.base import AdmissionState
from teacher.api.accounts import Accounts

if TYPE_CHECKING:
    from scipy import sparse

_EVERYBODY = 2**31 - 1


class Flow(NamedTuple):
    """A graph of accounts in which two are joined by the weights of the tokens that both have, not written out.

    Args:
        has: (K, T) sparse, 1 where an account has a token.
        worth: (T,) weight of each token.
        degree: (K,) float64 weight of each account's edges.
    """

    has: sparse.csr_array
    worth: NDArray[np.float64]
    degree: NDArray[np.float64]

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(K,) for each account the sum over its neighbours of edge weight times value."""
        own = self.has @ self.worth
        return np.asarray(self.has @ (self.worth * (self.has.T @ values)) - own * values)


def flow_of(index: Incidence, worth: NDArray[np.float64]) -> Flow:
    """The graph of accounts ``index`` with (T,) token weights, in time and memory linear in the (account, token) pairs."""
    from scipy import sparse

    shape = (len(index.account), len(worth))
    has = sparse.csr_array((np.ones(len(index.token)), index.token, index.start), shape=shape)
    degree = np.asarray(has @ (worth * (index.frequency - 1)), np.float64)
    return Flow(has, worth, degree)


def trust(flow: Flow, seeds: NDArray[np.bool_], steps: int) -> NDArray[np.float64]:
    """(K,) trust of each account by its degree after ``steps`` power iterations (equation 1 and section 4.2), as a multiple
    of what everyone would have if iteration went on for ever in a connected graph; NaN for accounts without edges.

    Args:
        flow: the graph.
        seeds: (K,) who shares the trust at first, at least one of them with edges.
        steps: how many iterations.
    """
    joined = flow.degree > 0
    start = seeds & joined
    share = np.zeros(len(joined))
    share[joined] = 1.0 / flow.degree[joined]
    held = start / start.sum()
    for _ in range(steps):
        held = flow.spread(held * share)
    level = np.maximum(held, 0.0) * share * flow.degree.sum()
    return np.where(joined, level, np.nan)


@dataclass(frozen=True)
class SybilRank(FittedLinkDetector):
    """Ranks accounts by the trust that reaches them from verified ones, and suspects the least trusted.

    Two accounts are joined by the sum of 1 / log(d) over what both used (d: by how many accounts), as in `Louvain`, but no
    network is too large. Trust begins at accounts with a valid identity check, or, where none of those linked has one, at
    those of the oldest organisations, and makes ceil(log2 n) steps, each along edges in proportion to their weights:
    enough to spread evenly among honest accounts, not enough to seep through few edges into a region of false ones. Trust
    by degree x, as a multiple of the even level, gives the score 1 / (1 + x): 1/2 at the even level, 1 where no trust came.

    It assumes that honest accounts are well connected among themselves, that few edges lead from them to false ones, and
    that trusted accounts are spread over all of the honest region. Shared networks bear out the first much less than the
    friendships it was made for do: groups of honest users without a trusted one among them get no trust either. If these
    are more than ``false_alarms`` of the honest accounts, the threshold is 1 and nobody is suspected. Accounts in components
    of fewer than ``least`` accounts are not judged at all. Connected accounts with alarms are a cluster.

    Args:
        oldest: share of organisations that are trusted where nobody is verified; who is as old as the last of them is, too.
    """

    name: ClassVar[str] = "sybilrank"
    version: ClassVar[int] = 1
    source: ClassVar[str] = (
        "Cao et al., Aiding the Detection of Fake Accounts in Large Scale Social Online Services, NSDI 2012"
    )
    checked: ClassVar[str] = "power iteration on the written-out graph"

    constraints: tuple[str, ...] = ("network",)
    oldest: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.oldest <= 1, "detector.oldest", self.oldest, "must be above 0 and at most 1")

    @property
    def reads(self) -> tuple[str, ...]:
        """See `Detector.reads`: trust starts from the oldest accounts."""
        return (*super().reads, "opened")

    def rank(self, state: AdmissionState, tokens: Tokens, now: float) -> Ranked:
        """Spread trust, and group those with less than the threshold."""
        index = incidence(tokens.account, tokens.key, _EVERYBODY)
        flow = flow_of(index, 1.0 / np.log(index.frequency))
        large = _large(flow.has, self.least)
        joined = (flow.degree > 0) & large
        account = index.account[joined]
        if not joined.any():
            return Ranked(account, np.zeros(0), np.zeros(0, np.int32))
        seeds = np.zeros(len(joined), np.bool_)
        seeds[joined] = self._trusted(state.accounts, account, now)
        level = trust(flow, seeds, int(np.ceil(np.log2(joined.sum())))) if seeds.any() else np.zeros(len(joined))
        score = 1.0 / (1.0 + level[joined])
        below = np.zeros(len(joined), np.bool_)
        if "threshold" in state.prepared:
            below[joined] = score > float(state.prepared["threshold"][0])
        group = np.full(len(joined), -1, np.int32)
        group[below] = _components(flow.has[np.flatnonzero(below)])
        return Ranked(account, score, group[joined])

    def _trusted(self, accounts: Accounts, ids: NDArray[np.int32], now: float) -> NDArray[np.bool_]:
        """(n,) which of these is verified, or old where none of them is verified; never who is banned."""
        verified = (accounts.verified_until[ids] > now) & ~accounts.banned[ids]
        if verified.any():
            return np.asarray(verified)
        opened = np.full(int(accounts.organisation.max()) + 1, np.inf)
        np.minimum.at(opened, accounts.organisation, accounts.created)
        first = np.sort(opened[np.isfinite(opened)])
        last = first[max(int(np.ceil(self.oldest * len(first))) - 1, 0)]
        return np.asarray((opened[accounts.organisation[ids]] <= last) & ~accounts.banned[ids])


def _components(has: sparse.csr_array) -> NDArray[np.int32]:
    """(K,) number of the component each account is in, by the tokens they share."""
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    both: Any = sparse.block_array([[None, has], [has.T, None]], format="csr")  # stubs of scipy differ on its type
    label = connected_components(both, directed=False)[1][: has.shape[0]]
    return np.unique(label, return_inverse=True)[1].astype(np.int32)


def _large(has: sparse.csr_array, least: int) -> NDArray[np.bool_]:
    """(K,) whether an account's component has at least ``least`` accounts."""
    label = _components(has)
    return np.asarray(np.bincount(label, minlength=1)[label] >= least)
