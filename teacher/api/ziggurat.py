"""Tables of the ziggurat, by which `teacher.api.arrivals` draws normal and exponential numbers. Draws nothing itself."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LAYERS = 256


def layers(edge: float, normal: bool) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Layers of equal area under exp(-x²/2) or exp(-x) (Marsaglia & Tsang, 2000), the lowest first, with the tail in it.

    Args:
        edge: where the tail begins.
        normal: which of the two.

    Returns:
        (257,) right edges of the layers, the lowest one's as if it were a rectangle, 0 at the end.
        (256,) share of each layer's width that is under the curve at all its heights.
        (257,) heights at the right edges, 0 for the lowest.
    """

    def height(x: float) -> float:
        return math.exp(-0.5 * x * x if normal else -x)

    def back(y: float) -> float:
        return math.sqrt(-2.0 * math.log(y)) if normal else -math.log(y)

    tail = math.sqrt(math.pi / 2.0) * math.erfc(edge / math.sqrt(2.0)) if normal else height(edge)
    area = edge * height(edge) + tail
    right = [area / height(edge), edge]
    while len(right) < LAYERS:
        right.append(back(area / right[-1] + height(right[-1])))
    right.append(0.0)
    edges = np.array(right)
    return edges, edges[1:] / edges[:-1], np.array([0.0, *(height(x) for x in right[1:])])
