"""Trade-off curves on a campaign's page: what thresholds of a policy's detectors find and let pass, a line a detector."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from experiments.campaign.measure.detection import ANY
from experiments.campaign.measure.key import Key
from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.campaign.measure.thresholds import ThresholdSweep, sweep
from experiments.campaign.report.naming import detector_name, policy_name, rate_name
from experiments.campaign.report.page.harm_vectors import colours, legend
from experiments.campaign.report.page.policy_cells import PolicyCells
from experiments.campaign.report.threshold_table import IN_FORCE
from experiments.report.page.vectors import FONT, MUTED, PERCENT, figure, marked, plain, svg

STEPS = 90
"""Of a line, from its left end to its right."""


class TradeSide(NamedTuple):
    """What is drawn against honest accounts alarmed: a measure, and its axis."""

    key: str
    title: str


SIDES = (
    TradeSide("caught", "attackers' accounts caught  (better →)"),
    TradeSide("passing", "harvest that passes  (← better)"),
)


def trade_svg(cells: PolicyCells, place: int, side: TradeSide, every: list[str]) -> str | None:
    """The curves of one policy: thin a seed, thick the points that can be pointed at, a square the threshold in force.

    Args:
        cells: what the page calls each.
        place: of the policy.
        side: what is drawn.
        every: all detectors of the report, which have their colours in it.
    """
    s = cells.summaries[place]
    names = [name for name in s.names("detector") if name != ANY]
    style = dict(zip(every, colours(every), strict=True))
    seen = {name: [r for r in s.results if f"score_{name}" in r.accounts.columns] for name in names}
    swept = {name: [own for r in results if (own := sweep(r, name)) is not None] for name, results in seen.items()}
    fewest = min((own.honest_all for seeds in swept.values() for own in seeds), default=0)
    if not fewest:
        return None
    lowest = min(10.0 ** math.floor(math.log10(1 / fewest)), 0.1)
    drawn = figure(3.7)
    axes = drawn.subplots()
    for name in names:
        for own in swept[name]:
            rates = np.geomspace(lowest, 1.0, STEPS)
            axes.plot(rates, _values(own, side, rates), color=style[name], linewidth=0.7, alpha=0.45, zorder=2,
                      drawstyle="steps-post")  # fmt: skip
        _points(axes, cells, place, name, side, style[name], lowest)
        _in_force(axes, s, cells.number(place, name), name, side, style[name], lowest)
    axes.plot([], [], "s", color=MUTED, markersize=7, label="threshold in force")
    plain(axes)
    axes.set_xscale("log")
    axes.set_xlim(lowest * 0.85, 1.0)
    axes.set_ylim(-0.03, 1.03)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: rate_name(round(value, 9)).replace(" ", "")))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_xlabel("honest accounts alarmed  (← better for users)", fontsize=FONT)
    axes.set_ylabel(side.title, fontsize=FONT)
    legend(drawn, axes)
    return svg(
        drawn, f"{policy_name(s.policy)}: {side.title} against honest accounts alarmed, as thresholds move, {len(names)} "
        "detectors. Arrow keys go from threshold to threshold."
    )  # fmt: skip


def _values(own: ThresholdSweep, side: TradeSide, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    at = np.array([own.place(rate) for rate in rates])
    if side.key == "caught":
        return np.asarray(own.attack[at] / max(own.attack_all, 1), np.float64)
    return np.asarray(1 - own.usable[at] / own.usable_all if own.usable_all else np.full(len(at), np.nan), np.float64)


def _points(axes: Axes, cells: PolicyCells, place: int, name: str, side: TradeSide, colour: str, lowest: float) -> None:
    known = [
        (rate, value)
        for rate, point in cells.curves[place, name].items()
        if (value := point[Key(side.key)].value) is not None and rate >= lowest
    ]
    label = detector_name(name)
    axes.plot([x for x, _ in known], [y for _, y in known], color=colour, linewidth=1.6, zorder=3, label=label)
    for rate, value in known:
        (dot,) = axes.plot([rate], [value], "o", color=colour, markersize=5, zorder=4)
        marked(dot, cells.number(place, name, rate), 0)


def _in_force(axes: Axes, s: PolicySummary, cell: int, name: str, side: TradeSide, colour: str, lowest: float) -> None:
    x, y = (s.of(IN_FORCE[key], "detector", name).value for key in ("false_alarms", side.key))
    if x is None or y is None:
        return
    # One without any false alarm stands on the left edge.
    (mark,) = axes.plot([max(x, lowest)], [y], "s", color=colour, markersize=9, zorder=5, clip_on=False)
    mark.set_markeredgecolor("#ffffff")
    marked(mark, cell, 0)
