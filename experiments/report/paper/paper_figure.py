"""A paper's table as a figure of a column's width, in letters that can be read there: bars of its columns, or the first of
them against honest accuracy. PDF with embedded fonts (TrueType), and PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.measure.estimate import Estimate
from experiments.report.figure_files import save, settle
from experiments.report.labels import place_labels
from experiments.report.paper.paper_table import PaperTable
from experiments.report.paper.table_spec import TableSpec
from experiments.report.plot import COLOURS, MARKERS

INCHES = {"single": 3.25, "double": 6.75}
POINTS = 7.5
"""Size of all letters; venues ask for at least 7."""
LINE, PANEL = 0.16, 0.95
"""Inches that a row takes, and the least that a panel is wide."""
GREY, BLUE, ORANGE = "#666666", "#0072B2", "#D55E00"
STYLE: dict[Any, Any] = {"text.parse_math": False, "pdf.fonttype": 42, "font.size": POINTS, "axes.linewidth": 0.6}


def draw(table: PaperTable, spec: TableSpec, png: Path, pdf: Path) -> bool:
    """Write both files; False, and nothing is written, where no column has numbers of its kind. Bars stand for a ``pareto``
    where honest accuracy is no column: a table leaves it out where all rows have the same."""
    width = spec.inches or INCHES[spec.width]
    with rc_context(STYLE):
        figure = _pareto(table, spec, width) if spec.figure == "pareto" else None
        figure = figure or _bars(table, spec, width)
        if figure is None:
            return False
        save(figure, png, pdf, dpi=300)
    return True


def _value(table: PaperTable, row: int, column: int) -> Estimate | None:
    value = table.rows[row][column].value
    return value if isinstance(value, Estimate) and value.value is not None else None


def _names(table: PaperTable) -> list[str]:
    """Of the rows: all that tells them apart."""
    return [", ".join(str(entry.value) for entry in row[: table.lead]) for row in table.rows]


def _shares(table: PaperTable) -> list[int]:
    return [
        i
        for i, h in enumerate(table.headings)
        if h.kind == "share" and any(_value(table, r, i) for r in range(len(table.rows)))
    ]


def _bars(table: PaperTable, spec: TableSpec, width: float) -> Figure | None:
    """A panel a column, a bar a row with its interval; panels that do not fit beside each other go below."""
    shown, names = _shares(table), _names(table)
    if not shown:
        return None
    room = 0.075 * max(map(len, names)) * POINTS / 9 + 0.12
    beside = max(1, min(len(shown), int((width - room) / PANEL)))
    lines = -(-len(shown) // beside)
    height = lines * (LINE * (len(names) + len(table.rules) * 0.5) + 0.62)
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.02)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(lines, beside, squeeze=False, sharey=True)
    y, at = [], 0.0
    for i in range(len(names)):
        at += 1.0 + (0.5 if i in table.rules else 0.0)
        y.append(-at)
    scale = 100 if spec.percent else 1
    for number, axes in enumerate(grid.flat):
        if number >= len(shown):
            axes.set_visible(False)
            continue
        column, h = shown[number], table.headings[shown[number]]
        for i, place in enumerate(y):
            value = _value(table, i, column)
            if value is None or value.value is None:
                axes.text(0.02, place, "–", va="center", color=GREY, transform=axes.get_yaxis_transform())
                continue
            colour = ORANGE if i in table.subject else GREY if i in table.reference else BLUE
            axes.barh(place, scale * value.value, 0.62, color=colour, alpha=0.75, linewidth=0)
            if value.low is not None and value.high is not None:
                axes.plot([scale * value.low, scale * value.high], [place, place], color="black", linewidth=0.8)
        axes.set_yticks(y, names)
        axes.set_ylim(-at - 0.6, -0.4)
        over = f"{h.group}\n" if h.group else ""
        axes.set_title(over + h.title, fontsize=POINTS, loc="left", pad=3)
        _plain(axes)
        axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        axes.tick_params(axis="y", length=0)
    figure.supxlabel(f"{'%, ' if spec.percent else ''}lines: 95 % intervals", fontsize=POINTS, color="#444444")
    return figure


def _pareto(table: PaperTable, spec: TableSpec, width: float) -> Figure | None:
    """The first share that is not honest accuracy to the right, honest accuracy up; rows without either are left out."""
    shares = _shares(table)
    honest = next((i for i in shares if table.headings[i].key.startswith("honest_accuracy")), None)
    grouped = [
        i for i in shares if i != honest and (table.headings[i].key.endswith("_pooled") or not table.headings[i].group)
    ]
    moved = next(iter(grouped or [i for i in shares if i != honest]), None)
    if honest is None or moved is None:
        return None
    scale = 100 if spec.percent else 1
    points = []
    for i in range(len(table.rows)):
        x, y = _value(table, i, moved), _value(table, i, honest)
        if x is not None and y is not None and x.value is not None and y.value is not None:
            points.append((i, x, y, scale * x.value, scale * y.value))
    if not points:
        return None
    figure = Figure(figsize=(width, min(width * 0.8, 3.4)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    bases = [str(table.rows[i][0].value).partition(" (")[0] for i, *_ in points]
    others = [b for b, (i, *_) in zip(bases, points, strict=True) if i not in table.reference]
    style = {b: (COLOURS[n % len(COLOURS)], MARKERS[n % len(MARKERS)]) for n, b in enumerate(dict.fromkeys(others))}
    labels, crosses = [], []
    for base, (i, x, y, at_x, at_y) in zip(bases, points, strict=True):
        colour, marker = ("#000000", "*") if i in table.reference else style[base]
        left, right = (scale * (v if v is not None else x.value or 0.0) for v in (x.low, x.high))
        low, high = (scale * (v if v is not None else y.value or 0.0) for v in (y.low, y.high))
        axes.plot([left, right], [at_y, at_y], color=colour, linewidth=0.7)
        axes.plot([at_x, at_x], [low, high], color=colour, linewidth=0.7)
        axes.plot([at_x], [at_y], marker, color=colour, markersize=8 if marker == "*" else 4.5, markeredgecolor="white",
                  markeredgewidth=0.4, zorder=4)  # fmt: skip
        crosses.append((left, low, right, high))
        labels.append((_names(table)[i], colour, at_x, at_y))
    h = table.headings[moved]
    unit = " (%)" if spec.percent else ""
    axes.set_xlabel(
        f"{h.group + ', ' if h.group else ''}{h.title.lower() if h.group else h.title}{unit}", fontsize=POINTS
    )
    axes.set_ylabel(table.headings[honest].title + unit, fontsize=POINTS)
    axes.margins(0.1, 0.12)
    _plain(axes)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    settle(figure)
    place_labels(axes, labels, [(p[3], p[4]) for p in points], crosses)
    return figure


def _plain(axes: Axes) -> None:
    axes.grid(True, color="#EEEEEE", linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=POINTS, width=0.6, length=2)
