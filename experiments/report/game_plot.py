"""A solved game as a picture: the matrix as a heat map, the mixtures as bars at its margins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.measure.estimate import Estimate
from experiments.report.equilibrium import Equilibrium
from experiments.report.figure_files import save
from experiments.report.spelling import share

BAR = "#4292c6"
WIDTH, HEIGHT, LABELS = 0.62, 0.3, 2.6
"""Inches of a column, of a row, and of the labels of each side."""
WIDE = 36
"""Letters of a line of a defense's label."""


def draw(game: Equilibrium, png: Path, pdf: Path) -> None:
    """Write the plot as PNG (200 dpi) and PDF."""
    rows, columns = len(game.payoffs.defenses), len(game.payoffs.attacks)
    losses_RC = np.array([[e.value for e in row] for row in game.losses], np.float64)
    wide, high = WIDTH * columns, HEIGHT * rows
    figure = Figure(figsize=(wide + LABELS + 1.4, high + LABELS + 1.0), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, 2, squeeze=False, width_ratios=(max(wide, 1.0), 1.0), height_ratios=(0.7, max(high, 0.6)))
    above, matrix, beside = grid[0][0], grid[1][0], grid[1][1]
    grid[0][1].set_axis_off()
    image = matrix.imshow(losses_RC, cmap="viridis", aspect="auto")
    middle = (losses_RC.min() + losses_RC.max()) / 2
    for r in range(rows):
        for c in range(columns):
            ink = "white" if losses_RC[r, c] < middle else "black"
            matrix.text(c, r, share(float(losses_RC[r, c])), ha="center", va="center", fontsize=7, color=ink)
    matrix.set_xticks(range(columns), list(game.payoffs.attacks), rotation=60, ha="right", fontsize=7)
    matrix.set_yticks(range(rows), [fill(name, WIDE) for name in game.payoffs.defenses], fontsize=7)
    above.bar(range(columns), _shares(game.attacker), color=BAR, width=0.7)
    above.set(xlim=(-0.5, columns - 0.5), ylim=(0, 1), xticks=[])
    beside.barh(range(rows), _shares(game.provider), color=BAR, height=0.7)
    beside.set(ylim=(rows - 0.5, -0.5), xlim=(0, 1), yticks=[])
    for axes in (above, beside):
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    above.set_title("Attacker's mixture (top), provider's (right)", fontsize=8, loc="left")
    figure.colorbar(image, ax=grid[1][1], label="loss of the provider", fraction=0.15)
    save(figure, png, pdf)


def _shares(played: Sequence[Estimate]) -> list[float]:
    return [e.value or 0.0 for e in played]
