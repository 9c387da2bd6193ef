"""Places for the accounts of a graph: the same graph gives the same picture. Knows nothing of campaigns.

Fruchterman & Reingold (1991, Software: Practice and Experience 21:1129): linked nodes attract each other by d²/k, all
nodes repel each other by k²/d, moves are cut to a falling temperature. It starts on a sunflower spiral in the order of
the nodes' component, largest first, and links, so that no random number is needed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

GOLDEN = np.pi * (3 - np.sqrt(5.0))


def layout(
    nodes: int, a: NDArray[np.int64], b: NDArray[np.int64], weight: NDArray[np.float64], steps: int = 150
) -> NDArray[np.float64]:
    """(n, 2) places within [−1, 1], in time and memory ∝ n² a step.

    Args:
        nodes: how many.
        a: (E,) one end of each link.
        b: (E,) the other.
        weight: (E,) positive; relative to their mean they pull.
        steps: moves.
    """
    if nodes <= 1:
        return np.zeros((nodes, 2))
    start = _spiral(nodes, a, b)
    place, ideal = start.copy(), np.sqrt(np.pi / nodes)
    pull = weight / weight.mean() if len(weight) else weight
    # Many links must not make one heap of a dense graph: a node's pulls add up to those of a few links.
    pull = pull / max(1.0, 2 * len(a) / nodes / 3)
    for step in range(steps):
        apart = place[:, None, :] - place[None, :, :]
        near = np.maximum((apart**2).sum(-1), 1e-6)
        force = (apart * (ideal**2 / near)[..., None]).sum(1)
        along = place[a] - place[b]
        drawn = along * (pull * np.sqrt((along**2).sum(-1)) / ideal)[:, None]
        for axis in (0, 1):
            force[:, axis] -= np.bincount(a, drawn[:, axis], nodes) - np.bincount(b, drawn[:, axis], nodes)
        # A weak pull to the middle keeps parts that nothing links from drifting away.
        force -= 0.5 * place
        length = np.maximum(np.sqrt((force**2).sum(-1)), 1e-12)
        heat = 0.15 * (1 - step / steps)
        place = place + force * (np.minimum(length, heat) / length)[:, None]
    place -= (place.max(0) + place.min(0)) / 2
    return np.asarray(place / np.maximum(np.abs(place).max(), 1e-12))


def _spiral(nodes: int, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
    graph = coo_array((np.ones(len(a)), (a, b)), shape=(nodes, nodes))
    _, part = connected_components(graph, directed=False)
    size = np.bincount(part)[part]
    degree = np.bincount(np.concatenate([a, b]), minlength=nodes)
    rank = np.empty(nodes)
    rank[np.lexsort((np.arange(nodes), -degree, part, -size))] = np.arange(nodes)
    radius, angle = np.sqrt((rank + 0.5) / nodes), rank * GOLDEN
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
