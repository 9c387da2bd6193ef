"""ROC at low false-alarm rates: a panel for each policy, a line for each detector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from experiments.campaign.measure.detection import ANY, curve
from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.campaign.measure.roc import on_grid
from experiments.campaign.report.drawing import Look, canvas, looks, plain, say
from experiments.campaign.report.naming import policy_name, spaced
from experiments.report.figure_files import save

LOWEST = 1e-4
GRID = np.logspace(np.log10(LOWEST), 0, 400)
MOST = 6
"""Panels; further policies are in the tables."""


def draw(summaries: Sequence[PolicySummary], png: Path, pdf: Path) -> None:
    """Share of attack accounts caught against the false-alarm rate (logarithmic); with several seeds the mean at each
    rate.

    Thick: accounts; thin: by requests. A marker stands at the detector's own threshold. Grey: a rate at which there
    is less than one false alarm among the honest accounts; dashed grey: chance.
    """
    detectors = sorted({name for s in summaries for name in s.names("detector") if name != ANY})
    watched = [s for s in summaries if s.names("detector")]
    shown = watched[:MOST]
    across = min(3, max(1, len(shown)))
    down = max(1, math.ceil(len(shown) / across))
    figure = canvas(max(4.6, 3.3 * across), 3.2 * down + 0.7)
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    figure.get_layout_engine().set(wspace=0.06)  # type: ignore[union-attr, call-arg]
    style = looks(detectors)
    for place, axes in enumerate(grid.flat):
        if place >= max(1, len(shown)):
            axes.set_visible(False)
            continue
        _frame(axes)
        if place < len(shown):
            _panel(axes, shown[place], style)
        if place % across == 0:
            axes.set_ylabel("attack accounts (thin: requests) caught", fontsize=9)
        if place + across >= max(1, len(shown)):
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("honest accounts (requests) alarmed on", fontsize=9)
    if not shown:
        say(grid[0][0], "no detector was run")
    else:
        _legend(figure, detectors, style)
    if len(watched) > len(shown):
        figure.supxlabel(
            f"{len(watched) - len(shown)} further policies are in the tables.", fontsize=8, color="#444444"
        )
    save(figure, png, pdf)


def _frame(axes: Axes) -> None:
    axes.set_xscale("log")
    plain(axes)
    axes.set_xlim(LOWEST, 1.0)
    axes.set_ylim(0.0, 1.02)
    names = {1e-4: "0.01%", 1e-3: "0.1%", 1e-2: "1%", 1e-1: "10%", 1.0: "100%"}
    axes.set_xticks(list(names))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: names.get(round(value, 6), "")))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}%"))


def _panel(axes: Axes, s: PolicySummary, style: dict[str, Look]) -> None:
    axes.set_title(policy_name(s.policy), fontsize=10, loc="left")
    axes.plot(GRID, GRID, color="#AAAAAA", linewidth=1, linestyle=(0, (4, 2)), zorder=1)
    drawn = False
    fewest = math.inf
    for name in (n for n in s.names("detector") if n != ANY):
        look = style[name]
        seen = [r for r in s.results if f"score_{name}" in r.accounts.columns]
        for weighted in (False, True):
            curves = [c for c in (curve(r, name, weighted) for r in seen) if c is not None]
            if not curves:
                continue
            drawn, fewest = True, min(fewest, *(c.honest for c in curves))
            mean = np.mean([on_grid(c, GRID) for c in curves], axis=0)
            axes.plot(
                GRID,
                mean,
                color=look.colour,
                linewidth=0.8 if weighted else 1.7,
                alpha=0.7 if weighted else 1.0,
                linestyle="-" if weighted else look.dash,
                drawstyle="steps-post",
                zorder=3,
            )
        fpr, tpr = s.of("false_alarms", "detector", name).value, s.of("caught", "detector", name).value
        if fpr is not None and tpr is not None:
            # A threshold without any false alarm stands on the left edge.
            axes.plot(
                [max(fpr, LOWEST)], [tpr], look.marker, color=look.colour, markersize=7, markeredgecolor="white",
                markeredgewidth=0.7, zorder=5, clip_on=False,
            )  # fmt: skip
    if not drawn:
        say(axes, "no attack accounts")
    elif 1 / fewest > LOWEST:
        axes.axvspan(LOWEST, 1 / fewest, color="#EEEEEE", linewidth=0, zorder=0.5)


def _legend(figure: Figure, detectors: Sequence[str], style: dict[str, Look]) -> None:
    handles = [
        Line2D(
            [],
            [],
            color=style[n].colour,
            marker=style[n].marker,
            markeredgecolor="white",
            linewidth=1.7,
            label=spaced(n),
        )
        for n in detectors
    ]
    handles += [
        Line2D([], [], color="#555555", linewidth=0.8, label="by requests"),
        Line2D([], [], color="#AAAAAA", linestyle=(0, (4, 2)), linewidth=1, label="chance"),
    ]
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=min(6, len(handles)),
        fontsize=8,
        frameon=False,
        handlelength=4,
    )
