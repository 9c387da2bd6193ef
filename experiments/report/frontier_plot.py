"""The frontier as a picture: a line a defense, a dot for each price that honest users pay, how far right is what moved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from experiments.measure.estimate import Estimate
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.figure_files import save
from experiments.report.frontier_table import FrontierLine, Target, learnt, lines, spelt, targets_of
from experiments.report.names import family_name, family_order

COLOURS = ("#9ecae1", "#4292c6", "#08519c", "#08306b")
"""By drop, the dearest the darkest."""
STATED = "#666666"
HEIGHT = 0.24
"""Inches of a line."""
WIDE = 40
"""Letters of a line of a panel's title."""


def draw(summaries: Sequence[Summary], png: Path, pdf: Path) -> None:
    """Write the plot as PNG (200 dpi) and PDF: a row of panels per attack, left pooled over families, right the first
    family in which hiding steps can matter. Raises `ValueError` where no cell was calibrated."""
    found = lines(summaries)
    if not found:
        raise ValueError("no cell was calibrated")
    settings = list(dict.fromkeys(line.setting for line in found))
    known = [f for f in family_order(sorted({f for s in summaries for f in s.families})) if f != POOLED]
    families = [POOLED, *known[:1]] if len(known) > 1 else [POOLED]
    counts = [sum(line.setting == setting for line in found) for setting in settings]
    height = sum(HEIGHT * count + 0.9 for count in counts) + 0.6
    figure = Figure(figsize=(2.4 + 3.6 * len(families), height), layout="constrained")
    FigureCanvasAgg(figure)
    ratios = [HEIGHT * count + 0.5 for count in counts]
    grid = figure.subplots(len(settings), len(families), squeeze=False, sharey="row", height_ratios=ratios)
    for row, setting in enumerate(settings):
        own = [line for line in found if line.setting == setting]
        for column, family in enumerate(families):
            told = setting if len(settings) > 1 and column == 0 else ""
            _panel(grid[row][column], own, family, targets_of(found), told)
    handles, texts = grid[0][0].get_legend_handles_labels()
    unique = dict(zip(texts, handles, strict=True))
    figure.legend(
        unique.values(), unique.keys(), loc="outside lower center", ncols=len(unique), fontsize=8, frameon=False
    )
    save(figure, png, pdf)


def _panel(axes: Axes, own: Sequence[FrontierLine], family: str, targets: Sequence[Target], setting: str) -> None:
    place = {id(line): len(own) - 1 - i for i, line in enumerate(own)}
    for line in own:
        y = place[id(line)]
        if not line.costliest.names and (bare := learnt(line.stated, family)) is not None and bare.value is not None:
            axes.axvline(bare.value, color="#BBBBBB", linewidth=1.2, linestyle=":", zorder=1)
        for i, target in enumerate(targets):
            colour = COLOURS[min(i + max(0, 3 - len(targets)), len(COLOURS) - 1)]
            _dot(
                axes,
                learnt(line.at.get(target), family),
                y + 0.18 * ((len(targets) - 1) / 2 - i),
                colour,
                f"at {spelt(target)}",
            )
        _dot(axes, learnt(line.stated, family), y, STATED, "as it is")
    axes.set_yticks(list(place.values()), [line.defense for line in own], fontsize=7)
    axes.set_ylim(-0.7, len(own) - 0.3)
    axes.grid(True, axis="both", color="#EEEEEE", linewidth=0.8, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.tick_params(axis="y", labelsize=7)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 6):g}%"))
    name = "all families" if family == POOLED else family_name(family)
    axes.set_title(name, fontsize=9, loc="right")
    axes.set_title(fill(setting, WIDE), fontsize=8, loc="left")
    axes.set_xlabel("transfer to the student  (← better for the provider)", fontsize=8)


def _dot(axes: Axes, value: Estimate | None, y: float, colour: str, label: str) -> None:
    if value is None or value.value is None:
        return
    if value.low is not None and value.high is not None:
        axes.plot([value.low, value.high], [y, y], color=colour, linewidth=1.1, zorder=2)
    axes.plot(
        [value.value],
        [y],
        "o",
        color=colour,
        markersize=4.2,
        markeredgecolor="white",
        markeredgewidth=0.4,
        zorder=3,
        label=label,
    )
