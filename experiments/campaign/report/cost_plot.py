"""What the harvest costs: dollars per usable exchange over time, and the harvest against what honest users bear."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from experiments.campaign.measure.harvested import series
from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.campaign.report.drawing import (
    AMOUNTS,
    Look,
    canvas,
    columns_of,
    plain,
    policy_looks,
    say,
)
from experiments.campaign.report.naming import dollars, policy_name
from experiments.measure.pareto import front
from experiments.report.figure_files import save, settle
from experiments.report.labels import place_labels

WIDE = 30.0
"""A range of prices or of harm wider than this factor is drawn on a logarithmic axis."""


def draw(summaries: Sequence[PolicySummary], png: Path, pdf: Path) -> None:
    """Left: dollars spent so far per usable exchange so far. Right: share of the plan harvested against honest
    accounts banned or lost, per 100,000; bars are the intervals (range over seeds), grey the front, lower left is best
    for the provider."""
    figure = canvas(9.6, 4.3)
    left, right = figure.subplots(1, 2)
    style = policy_looks(summaries)
    _prices(left, summaries, style)
    points = [(s, p) for s in summaries if (p := _point(s)) is not None]
    _pareto(right, points, style)
    if left.get_legend_handles_labels()[0]:
        handles, labels = left.get_legend_handles_labels()
        columns = columns_of(figure, labels, 5)
        figure.legend(
            handles, labels, loc="outside upper center", ncols=columns, fontsize=8, frameon=False, handlelength=3
        )
    settle(figure)
    if points:
        steps = [part for (a, b), (c, d) in pairwise(_front(points)) for part in ((a, b, c, b), (c, b, c, d))]
        labels = [(policy_name(s.policy), style[s.policy].colour, x, y) for s, ((x, y), _) in points]
        place_labels(right, labels, [at for _, (at, _) in points], [bar for _, (_, bar) in points], steps)
    save(figure, png, pdf)


Point = tuple[tuple[float, float], tuple[float, float, float, float]]


def _point(s: PolicySummary) -> Point | None:
    """(share of the plan, honest accounts gone per 100,000), and (x low, y low, x high, y high)."""
    x, y = s.of("usable_share"), s.of("honest_gone_share")
    if x.value is None or y.value is None:
        return None
    limits = [e.value if limit is None else limit for e, limit in ((x, x.low), (y, y.low), (x, x.high), (y, y.high))]
    a, b, c, d = (float(v or 0.0) for v in limits)
    return (x.value, 1e5 * y.value), (a, 1e5 * b, c, 1e5 * d)


def _prices(axes: Axes, summaries: Sequence[PolicySummary], style: dict[str, Look]) -> None:
    shown = []
    for s in summaries:
        lines = []
        days = np.unique(np.concatenate([series(r)["day"].to_numpy() for r in s.results]))
        for r in s.results:
            frame = series(r)
            # Before the first usable exchange there is no price.
            price = np.where(frame["usable"] > 0, frame["dollars"] / frame["usable"].clip(1), np.nan)
            price = np.append(np.nan, price)
            lines.append(price[np.searchsorted(frame["day"].to_numpy(), days, side="right")])
        values = np.stack(lines)
        # With several seeds only days on which all have a price.
        mean = values.mean(0)
        if np.isfinite(mean).any():
            look = style[s.policy]
            axes.plot(
                days, mean, color=look.colour, linestyle=look.dash, linewidth=1.6, label=policy_name(s.policy), zorder=3
            )
            if len(lines) > 1:
                axes.fill_between(
                    days, values.min(0), values.max(0), color=look.colour, alpha=0.15, linewidth=0, zorder=2
                )
            shown.append(mean[np.isfinite(mean)])
    plain(axes)
    axes.set_title("Price of the harvest so far", fontsize=10, loc="left")
    axes.set_xlabel("day", fontsize=9)
    axes.set_xlim(left=0)
    axes.set_ylabel("US dollars per usable exchange", fontsize=9)
    if not shown:
        return say(axes, "nothing usable was harvested")
    values = np.concatenate(shown)
    if values.min() > 0 and values.max() > WIDE * values.min():
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: dollars(value)))
    return None


def _front(points: Sequence[tuple[PolicySummary, Point]]) -> list[tuple[float, float]]:
    """Places of the policies that none beats in both, by rising harvest."""
    return sorted(points[i][1][0] for i in front([p[0][0] for _, p in points], [-p[0][1] for _, p in points]))


def _pareto(axes: Axes, points: Sequence[tuple[PolicySummary, Point]], style: dict[str, Look]) -> None:
    plain(axes)
    axes.set_title("Harvest against harm", fontsize=10, loc="left")
    axes.set_xlabel("share of the planned exchanges harvested", fontsize=9)
    axes.set_ylabel("honest accounts banned or lost, of 100,000", fontsize=9)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 6):g}%"))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(AMOUNTS)
    if not points:
        say(axes, "nothing was planned, or there are no honest accounts")
        return
    best = _front(points)
    if len(best) > 1:
        axes.step([x for x, _ in best], [y for _, y in best], where="post", color="#CCCCCC", linewidth=3, zorder=1)
    for s, ((x, y), (low_x, low_y, high_x, high_y)) in points:
        look = style[s.policy]
        axes.plot([low_x, high_x], [y, y], color=look.colour, linewidth=0.9, alpha=0.8, zorder=3)
        axes.plot([x, x], [low_y, high_y], color=look.colour, linewidth=0.9, alpha=0.8, zorder=3)
        size = 11 if look.marker == "*" else 7
        (mark,) = axes.plot(
            [x], [y], look.marker, color=look.colour, markersize=size, markeredgecolor="white", zorder=4
        )
        # A policy without harm stands on the axis.
        mark.set_clip_on(False)
    axes.margins(0.15, 0.15)
    axes.set_xlim(left=max(0.0, axes.get_xlim()[0]))
    positive = [p[0][1] for _, p in points if p[0][1] > 0]
    if positive and max(positive) > WIDE * min(positive):
        axes.set_yscale("symlog", linthresh=min(positive))
    axes.set_ylim(bottom=0 if max(p[1][3] for _, p in points) > 0 else -0.05)
