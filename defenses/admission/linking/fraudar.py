# mypy: allow-untyped-decorators
"""Dense blocks of accounts and what they have in common, found by peeling: FRAUDAR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.errors import require
from defenses.admission.linking.actions import Tokens
from defenses.admission.linking.incidence import Incidence, incidence
from defenses.admission.linking.link_detector import FittedLinkDetector, Ranked
from defenses.base import AdmissionState
from lm.compiled import kernel

_EVERYBODY = 2**31 - 1


@kernel
def _down(heap: Any, place: Any, value: Any, at: Any, size: Any) -> None:
    """Sink a node whose value has grown. A heap of our own, since values change while nodes are in it: ``heapq`` knows no
    such change and would keep an outdated entry for each."""
    node = heap[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and value[heap[child + 1]] < value[heap[child]]:
            child += 1
        if value[heap[child]] >= value[node]:
            break
        heap[at] = heap[child]
        place[heap[at]] = at
        at = child
    heap[at] = node
    place[node] = at


@kernel
def _up(heap: Any, place: Any, value: Any, at: Any) -> None:
    """Raise a node whose value has fallen."""
    node = heap[at]
    while at > 0 and value[heap[(at - 1) >> 1]] > value[node]:
        heap[at] = heap[(at - 1) >> 1]
        place[heap[at]] = at
        at = (at - 1) >> 1
    heap[at] = node
    place[node] = at


@kernel
def _peel(
    start: Any,
    token: Any,
    token_start: Any,
    row: Any,
    weight: Any,
    least: Any,
    heap: Any,
    place: Any,
    value: Any,
    order: Any,
    core: Any,
) -> Any:
    """Take away the node with the least weight of edges left, again and again; (best density, nodes taken away by then).
    Nodes are accounts, then tokens; those with ``place`` -1 take no part. ``core`` is the largest such weight so far."""
    accounts, size, alive, mass = len(start) - 1, 0, 0, 0.0
    for node in range(len(place)):
        if place[node] < 0:
            continue
        value[node] = 0.0
        if node < accounts:
            alive += 1
            for e in range(start[node], start[node + 1]):
                value[node] += weight[token[e]]
            mass += value[node]
        else:
            t = node - accounts
            for p in range(token_start[t], token_start[t + 1]):
                if place[row[p]] >= 0:
                    value[node] += weight[t]
        heap[size] = node
        place[node] = size
        size += 1
    for at in range(size // 2 - 1, -1, -1):
        _down(heap, place, value, at, size)
    best, best_at, taken, highest = 0.0, -1, 0, 0.0
    while size > 0 and alive >= least:
        if mass / size > best:
            best, best_at = mass / size, taken
        node = heap[0]
        size -= 1
        highest = max(highest, value[node])
        mass -= value[node]
        order[taken] = node
        taken += 1
        place[node] = -1
        if size > 0:
            heap[0] = heap[size]
            _down(heap, place, value, 0, size)
        if node < accounts:
            alive -= 1
            core[node] = highest
            for e in range(start[node], start[node + 1]):
                other = accounts + token[e]
                if place[other] >= 0:
                    value[other] -= weight[token[e]]
                    _up(heap, place, value, place[other])
        else:
            t = node - accounts
            for p in range(token_start[t], token_start[t + 1]):
                other = np.int64(row[p])
                if place[other] >= 0:
                    value[other] -= weight[t]
                    _up(heap, place, value, place[other])
    for at in range(size):
        if heap[at] < accounts:
            core[heap[at]] = highest
    return best, best_at


class Block(NamedTuple):
    """The densest subgraph that peeling came across.

    Args:
        density: weight of its edges by number of its nodes; 0 where there is none.
        rows: its accounts, as rows of the index, ascending.
        tokens: its tokens, ascending.
        core: (K,) float64 for each account the largest k such that it is left in a subgraph in which every node has edges
            of weight k; 0 for those that took no part, too small by what was not peeled any more for those in the block.
    """

    density: float
    rows: NDArray[np.int64]
    tokens: NDArray[np.int64]
    core: NDArray[np.float64]


def weights(index: Incidence) -> NDArray[np.float64]:
    """(T,) 1 / log(degree + 5) of each token: what many have in common says less (section 4.3)."""
    return np.asarray(1.0 / np.log(index.frequency + 5.0))


def densest(index: Incidence, weight: NDArray[np.float64], inside: NDArray[np.bool_], least: int = 1) -> Block:
    """Greedy peeling (Algorithm 1): with ``least`` 1 its density is at least half of the densest subgraph's (Theorem 1).

    Args:
        index: accounts and their tokens.
        weight: (T,) of an edge to each token.
        inside: (K,) which accounts take part.
        least: fewest accounts that a subgraph must have to be considered.
    """
    accounts, tokens = len(index.account), len(weight)
    used = np.bincount(index.token[np.repeat(inside, np.diff(index.start))], minlength=tokens) > 0
    place = np.where(np.concatenate([inside, used]), 0, -1).astype(np.int64)
    nodes = int((place >= 0).sum())
    heap, order = np.empty(nodes, np.int64), np.empty(nodes, np.int64)
    value, core = np.zeros(accounts + tokens), np.zeros(accounts)
    before = place >= 0
    shape = (index.start, index.token, index.token_start, index.row, weight)
    density, at = _peel(*shape, least, heap, place, value, order, core)
    if at < 0:
        none = np.zeros(0, np.int64)
        return Block(0.0, none, none, core)
    before[order[:at]] = False
    return Block(density, np.flatnonzero(before[:accounts]), np.flatnonzero(before[accounts:]), core)


@dataclass(frozen=True)
class Fraudar(FittedLinkDetector):
    """Finds blocks of accounts that are densely connected with the same networks, payments and templates.

    The graph is bipartite: accounts, and what they have in common. An edge to a token of degree d weighs 1 / log(d + 5).
    Peeling takes away the node with the least weight again and again; the stage with the largest weight by number of nodes
    is a block, which honest-looking extra edges of its accounts cannot thin out (Theorem 2: camouflage leaves edges within
    the block alone). Its accounts are then taken out and the rest is peeled anew; weights stay. Unlike in the paper a stage
    has to have ``least`` accounts to count (the greedy rule of Andersen and Chellapilla, WAW 2009, which finds at least a
    third of the best), and what only one account has is left out, since it links nobody and would make a block of a busy
    account alone.

    Score: 1 + density for accounts in a block; c / (2 + c) < 1 for others, c being the weight that everyone in the core
    around the account keeps, of which half is a density that the core surely has.

    Args:
        constraints: see above; all three by default.
        blocks: how many blocks are looked for.
    """

    name: ClassVar[str] = "fraudar"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Hooi et al., FRAUDAR, KDD 2016, sections 4.2 to 4.4"
    checked: ClassVar[str] = (
        "every subset of small graphs (half of the best density), peeling step by step, closed forms"
    )
    floor: ClassVar[float] = 1.0

    constraints: tuple[str, ...] = ("network", "payment", "template")
    blocks: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.blocks >= 1, "detector.blocks", self.blocks, "must be at least 1")

    def rank(self, state: AdmissionState, tokens: Tokens, now: float) -> Ranked:
        """Peel ``blocks`` times."""
        index = incidence(tokens.account, tokens.key, _EVERYBODY)
        weight = weights(index)
        inside = np.diff(index.start) > 0
        score, group = np.zeros(len(inside)), np.full(len(inside), -1, np.int32)
        for number in range(self.blocks):
            block = densest(index, weight, inside, self.least)
            score[inside] = block.core[inside] / (2.0 + block.core[inside])
            if not len(block.rows):
                break
            score[block.rows], group[block.rows] = 1.0 + block.density, number
            inside[block.rows] = False
        return Ranked(index.account, score, group)
