"""How far from normal the distances between an account's prompts are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from configs.errors import require
from defenses.admission.sight import embedding_of
from defenses.admission.windows.window_detector import WindowDetector
from defenses.base import Prepared, Traffic
from defenses.strength import Strength
from lm.compiled import kernel
from lm.later import torch
from teacher.api.schema import Prompts

_ROUNDS = 20
_SPARE = 10
"""Distances that a window holds at least, whatever its cells; Royston's coefficients below begin at six values."""


@dataclass(frozen=True)
class PRADA(WindowDetector):
    """Shapiro-Wilk statistic of the distances from each prompt to the nearest earlier one, under a benign quantile.

    Algorithm 3 of the paper: a prompt's distance is that to the nearest prompt in the growing set of its class, which it
    joins if it is farther than the set's threshold T = max(T, mean - standard deviation of the set's distances);
    distances more than three standard deviations from their mean are left out; an attack is a statistic W < δ. Three things
    are adapted. Text has no predicted class: a class is one of ``cells`` k-means cells of benign prompts. The distance is
    that of the provider's text encoder. And a window of n prompts starts afresh with empty sets, where the paper lets them
    grow for ever. Score: (1 - W)/(1 - δ), δ fitted on benign windows. Distances that are all equal give W = 1 and no alarm,
    as SciPy's test does.

    Args:
        cells: classes, at most as many as there are distinct benign prompts.
    """

    name: ClassVar[str] = "prada"
    version: ClassVar[int] = 1
    source: ClassVar[str] = "Juuti, Szyller, Marchal & Asokan, EuroS&P 2019 (PRADA), arXiv 1805.02628, algorithm 3"
    checked: ClassVar[str] = "the paper's statistic; scipy's Shapiro-Wilk weights"
    strength: ClassVar[Strength | None] = Strength("quantile", 0.99, 0.5)

    benign_requests: int = 60_000
    cells: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.cells >= 1, "prada.cells", self.cells, "must be at least 1")
        text = f"must be from {self.cells + _SPARE} (cells and {_SPARE} more) to 2000: its pairs are compared"
        require(self.cells + _SPARE <= self.window <= 2000, "prada.window", self.window, text)

    def learn(self, benign: Traffic, rows: NDArray[np.int64], rng: np.random.Generator) -> Prepared:
        """Cells by spherical k-means (Lloyd's algorithm on unit rows) of the distinct prompts of the reference."""
        points = embedding_of(benign.prompts, {})[np.unique(benign.requests.prompt[rows])].astype(np.float64)
        centres = points[rng.choice(len(points), min(self.cells, len(points)), replace=False)]
        for _ in range(_ROUNDS):
            cell = np.argmax(points @ centres.T, axis=1)
            total = np.zeros_like(centres)
            np.add.at(total, cell, points)
            length = np.linalg.norm(total, axis=1, keepdims=True)
            centres = np.where(length > 0, total / np.where(length > 0, length, 1.0), centres)
        return {"centres": torch.from_numpy(centres)}

    def judge(
        self, windows: NDArray[np.int32], prompts: Prompts, prepared: Prepared, memory: dict[str, Any]
    ) -> NDArray[np.float64]:
        """(K,) 1 - W of each window of prompts (K, n)."""
        embedding = embedding_of(prompts, memory)
        held = memory.get("_cells")
        if held is None or held[0] is not prompts:
            held = memory["_cells"] = (prompts, np.argmax(embedding @ prepared["centres"].numpy().T, axis=1))
        cell, count = held[1], len(prepared["centres"])
        weights = royston(windows.shape[1])
        found = np.empty(len(windows))
        _statistics(embedding, windows, cell, count, weights, found)
        return 1.0 - found


def royston(most: int) -> NDArray[np.float64]:
    """(most + 1, most) weights of the order statistics of the Shapiro-Wilk test; row n holds n of them.

    Royston 1992, "Approximating the Shapiro-Wilk W-test for non-normality", equations 2 to 5, for 6 to 5,000 values.
    """
    table = np.zeros((most + 1, most))
    for n in range(6, most + 1):
        m = ndtri((np.arange(1, n + 1) - 0.375) / (n + 0.25))
        square, root = float(m @ m), 1.0 / np.sqrt(n)
        last = m[-1] / np.sqrt(square) + np.polyval([-2.706056, 4.434685, -2.071190, -0.147981, 0.221157, 0.0], root)
        second = m[-2] / np.sqrt(square) + np.polyval([-3.582633, 5.682633, -1.752461, -0.293762, 0.042981, 0.0], root)
        a = m / np.sqrt((square - 2 * m[-1] ** 2 - 2 * m[-2] ** 2) / (1 - 2 * last**2 - 2 * second**2))
        a[[0, 1, -2, -1]] = -last, -second, second, last
        table[n, :n] = a
    return table


def _normality(
    embedding: NDArray[np.float32],
    windows: NDArray[np.int32],
    cell: NDArray[np.int64],
    cells: int,
    weights: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """W of K windows (K, n) into ``out`` (K,), from the rows (P, d) and cells (P,) of their prompts."""
    size, width = windows.shape[1], embedding.shape[1]
    points = np.empty((size, width), np.float32)
    joined = np.empty(size, np.bool_)
    distance = np.empty(size)
    kept = np.empty(size)
    count, total, squares, limit = np.empty(cells), np.empty(cells), np.empty(cells), np.empty(cells)
    for w in range(len(out)):
        count[:] = 0.0
        n = 0
        for i in range(size):
            points[i] = embedding[windows[w, i]]
            c = cell[windows[w, i]]
            if count[c] == 0.0:  # the first of a class begins its set, with a distance of zero
                joined[i] = True
                count[c], total[c], squares[c], limit[c] = 1.0, 0.0, 0.0, 0.0
                continue
            nearest = np.float32(-1.0)
            for j in range(i):
                if joined[j] and cell[windows[w, j]] == c:
                    product = np.float32(0.0)
                    for k in range(width):
                        product += points[i, k] * points[j, k]
                    nearest = max(nearest, product)
            near = 2.0 - 2.0 * np.float64(nearest)
            d = np.sqrt(near) if near > 1e-6 else 0.0  # equal prompts differ by rounding
            distance[n] = d
            n += 1
            joined[i] = d > limit[c]
            if joined[i]:
                count[c] += 1.0
                total[c] += d
                squares[c] += d * d
                per = 1.0 / count[c]
                mean = total[c] * per
                limit[c] = max(limit[c], mean - np.sqrt(max(squares[c] * per - mean * mean, 0.0)))
        mean = distance[:n].mean()
        spread = 3.0 * distance[:n].std() + 1e-12
        m = 0
        for i in range(n):
            if abs(distance[i] - mean) <= spread:
                kept[m] = distance[i]
                m += 1
        values = np.sort(kept[:m])
        if values[m - 1] - values[0] < 1e-9:
            out[w] = 1.0
        else:
            centred = values - values.mean()
            product = (weights[m, :m] * centred).sum()
            out[w] = min(product * product / (centred * centred).sum(), 1.0)


_statistics = kernel(_normality)
