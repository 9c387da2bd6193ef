"""The Pareto plot: transfer to the student against what honest users still get, with intervals on both axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from experiments.measure.estimate import Estimate
from experiments.measure.panel import ALL
from experiments.measure.pareto import front, worst_case
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.figure_files import save, settle
from experiments.report.grouping import by_defense, by_threat, threat_text
from experiments.report.labels import place_labels
from experiments.report.names import family_name, family_order
from experiments.report.worst_table import known_transfers

COLOURS = ("#0072B2", "#D55E00", "#007A5A", "#B5508C", "#3A8FC7", "#A87400", "#6A3D9A", "#5C4708")
"""After Okabe & Ito (2008), the light ones darkened so that they can be read as text; the undefended API is black."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
MAX_ROWS = 3


@dataclass(frozen=True)
class Dot:
    """One defense setting under its worst attack."""

    name: str
    label: str
    strength: float | None
    transfer: Estimate
    quality: Estimate
    x: float
    y: float


def draw(summaries: Sequence[Summary], png: Path, pdf: Path) -> None:
    """Write the plot as PNG (200 dpi) and PDF.

    A row of panels per threat model (at most `MAX_ROWS`, the fullest), left pooled over families, right the first family in
    which hiding steps can matter. Strengths of one defense are joined; the grey line is the front.
    """
    groups = by_threat(summaries)
    shown = groups[:MAX_ROWS]
    families = _families(summaries)
    figure = Figure(figsize=(6.2 * len(families), 4.6 * max(len(shown), 1) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(max(len(shown), 1), len(families), squeeze=False)
    names = sorted({"+".join(s.names) for s in summaries if s.names})
    style = {name: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(names)}
    style[""] = ("#000000", "*")
    panels = []
    for row, group in enumerate(shown):
        for column, family in enumerate(families):
            points = points_of(group, family)
            axes: Axes = grid[row][column]
            _panel(axes, points, style)
            panels.append((axes, points))
            where = threat_text(group[0], summaries)
            axes.set_title(_title(family) + (f"\n{where}" if where else ""), fontsize=10, loc="left")
            axes.set_xlabel(
                f"{family_name(family)} transfer under the worst attack  (← better for the provider)", fontsize=9
            )
            axes.set_ylabel(
                "accuracy of honest answers" + ("" if family == POOLED else f" in {family_name(family)}"), fontsize=9
            )
    left_out = (
        f" {len(groups) - len(shown)} further threat models are in the tables." if len(groups) > len(shown) else ""
    )
    figure.supxlabel(
        "Bars: 95 % intervals. Lines join strengths of one defense. Grey: Pareto front (upper left is best)."
        + left_out,
        fontsize=8,
        color="#444444",
    )
    settle(figure)
    for axes, points in panels:
        lines = [(a.x, a.y, b.x, b.y) for a, b in _joined(points)]
        place_labels(axes, _labels(points, style), [(p.x, p.y) for p in points], _bars(points), lines)
    save(figure, png, pdf)


def points_of(group: Sequence[Summary], family: str) -> list[Dot]:
    """The settings of one threat model that have both a transfer and a quality, in the order of the table."""
    honest = ALL if family == POOLED else family
    points = []
    for label, cells in by_defense(group).items():
        worst = worst_case(known_transfers(cells, family), ())
        transfer = next((s.headline_estimate("transfer", family) for s in cells if s.attack == worst.attack), None)
        quality = cells[0].estimate("T_def", honest, "", "strict")
        if transfer is not None and transfer.value is not None and quality.value is not None:
            strength = cells[0].configuration.get("strength")
            points.append(
                Dot(
                    "+".join(cells[0].names),
                    label,
                    None if strength is None else float(strength),
                    transfer,
                    quality,
                    transfer.value,
                    quality.value,
                )
            )
    return points


def _families(summaries: Sequence[Summary]) -> list[str]:
    known = family_order(sorted({f for s in summaries for f in s.families}))
    return [POOLED, known[0]] if len(known) > 1 else [known[0] if known else POOLED]


def _title(family: str) -> str:
    return "All families" if family == POOLED else f"{family_name(family).capitalize()} only"


def _bars(points: Sequence[Dot]) -> list[tuple[float, float, float, float]]:
    """(x low, y low, x high, y high) of each point's intervals."""
    return [
        (
            p.x if p.transfer.low is None else p.transfer.low,
            p.y if p.quality.low is None else p.quality.low,
            p.x if p.transfer.high is None else p.transfer.high,
            p.y if p.quality.high is None else p.quality.high,
        )
        for p in points
    ]


def _panel(axes: Axes, points: Sequence[Dot], style: dict[str, tuple[str, str]]) -> None:
    """Draw everything but the labels."""
    chosen = [points[i] for i in front([p.x for p in points], [p.y for p in points])]
    axes.step([p.x for p in chosen], [p.y for p in chosen], where="post", color="#BBBBBB", linewidth=3, zorder=1)
    for a, b in _joined(points):
        axes.plot([a.x, b.x], [a.y, b.y], color=style[a.name][0], linewidth=1.2, alpha=0.7, zorder=2)
    for p, (left, bottom, right, top) in zip(points, _bars(points), strict=True):
        colour, marker = style[p.name]
        axes.plot([left, right], [p.y, p.y], color=colour, linewidth=0.9, alpha=0.8, zorder=3)
        axes.plot([p.x, p.x], [bottom, top], color=colour, linewidth=0.9, alpha=0.8, zorder=3)
        size = 11 if marker == "*" else 6.5
        axes.plot(
            [p.x], [p.y], marker, color=colour, markersize=size, markeredgecolor="white", markeredgewidth=0.6, zorder=4
        )
    axes.grid(True, color="#EEEEEE", linewidth=0.8, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 6):g}%"))
    axes.margins(0.12, 0.12)
    if not points:
        axes.text(0.5, 0.5, "no setting has both a transfer and honest accuracy", ha="center", transform=axes.transAxes)


def _labels(points: Sequence[Dot], style: dict[str, tuple[str, str]]) -> list[tuple[str, str, float, float]]:
    """Text, colour and place of each label: in full at a defense's least transfer, elsewhere on its line the strength."""
    named = {name: min((p for p in points if p.name == name), key=lambda p: p.x) for name in {p.name for p in points}}
    return [
        (p.label if p is named[p.name] or p.strength is None else f"{p.strength:g}", style[p.name][0], p.x, p.y)
        for p in points
    ]


def _joined(points: Sequence[Dot]) -> list[tuple[Dot, Dot]]:
    """Neighbouring strengths of each defense."""
    found: list[tuple[Dot, Dot]] = []
    for name in dict.fromkeys(p.name for p in points):
        line = sorted((p for p in points if p.name == name and p.strength is not None), key=lambda p: p.strength or 0.0)
        found += list(pairwise(line))
    return found
