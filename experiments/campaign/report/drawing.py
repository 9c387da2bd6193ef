"""What the campaign's plots share: canvas, colours and line styles of policies, axes, files without dates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.campaign.report.naming import UNDEFENDED
from experiments.report.plot import COLOURS, MARKERS

DASHES: tuple[tuple[int, tuple[float, ...]], ...] = ((0, ()), (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
"""On and off in line widths; with the colours, so that lines can be told apart without them."""


class Look(NamedTuple):
    """Colour, line style and marker of one policy or detector."""

    colour: str
    dash: tuple[int, tuple[float, ...]]
    marker: str


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look of its own for each name, the undefended policy black."""
    others = [name for name in names if name not in UNDEFENDED]
    chosen = {
        name: Look(
            COLOURS[i % len(COLOURS)],
            DASHES[(i + 1 + i // len(COLOURS)) % len(DASHES)],
            MARKERS[(i + i // len(COLOURS)) % len(MARKERS)],
        )
        for i, name in enumerate(others)
    }
    return {name: chosen.get(name, Look("#000000", DASHES[0], "*")) for name in names}


def policy_looks(summaries: Sequence[PolicySummary]) -> dict[str, Look]:
    """`looks` of the policies."""
    return looks([s.policy for s in summaries])


def canvas(width: float, height: float) -> Figure:
    """An empty figure in inches that needs no screen."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plain(axes: Axes) -> None:
    """Light grid, no frame on the right and at the top."""
    axes.grid(True, color="#EEEEEE", linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def say(axes: Axes, text: str) -> None:
    """A sentence in place of a plot there is nothing for."""
    axes.text(
        0.5, 0.5, text, ha="center", va="center", fontsize=9, color="#444444", transform=axes.transAxes, wrap=True
    )


AMOUNTS = FuncFormatter(lambda value, _: _amount(value))


def columns_of(figure: Figure, labels: Sequence[str], most: int) -> int:
    """How many columns of a legend in 8 points fit above a figure."""
    inches = 0.075 * max(map(len, labels), default=0) + 0.7
    return max(1, min(most, len(labels), int(figure.get_figwidth() / inches)))


def _amount(value: float) -> str:
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{letter}"
    return f"{round(value, 9):g}"
