"""Matplotlib figures as SVG for a page: colours are the page's own, and each mark says which cell it is of.

A figure is drawn in colours that stand for variables of the page's style sheet (`INK`, `series`), so that one drawing serves
light and dark. An artist whose gid is `mark` of a cell becomes a group with ``data-c``, by which the page's script filters
it and says its numbers.
"""

from __future__ import annotations

import re
from io import StringIO
from xml.etree import ElementTree  # what is parsed here is what matplotlib has just written

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

INK, MUTED, GRID, FRONT, PAPER = "#010101", "#020202", "#030303", "#040404", "#ffffff"
"""Colours that stand for the page's: text, lesser text, lines behind, the front, the background."""

SERIES, DROPS = 8, 4
"""Colours of defenses, and of prices that honest users pay."""

VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid", FRONT: "front", PAPER: "paper"}
SIZE, FONT = (5.0, 4.2), 9.0
"""Inches and points: legible at the width of a telephone, and at twice that."""

MARK = re.compile(r"cell-(\d+)-\d+")
SVG = "http://www.w3.org/2000/svg"


def series(number: int) -> str:
    """Stands for the colour of the defense of that number; they come round again after `SERIES`."""
    return f"#06{number % SERIES:04x}"


def price(number: int) -> str:
    """Stands for the colour of one of `DROPS` prices, the dearest last."""
    return f"#07{number % DROPS:04x}"


def marked(artist: Artist, cell: int, part: int) -> None:
    """Say of an artist which cell of the report it shows, as one of several parts."""
    artist.set_gid(f"cell-{cell}-{part}")


def figure(height: float = SIZE[1]) -> Figure:
    """An empty one, of the page's width."""
    found = Figure(figsize=(SIZE[0], height), layout="constrained")
    FigureCanvasAgg(found)
    found.patch.set_alpha(0)
    return found


def plain(axes: Axes) -> None:
    """Axes as the page has them."""
    axes.patch.set_alpha(0)
    axes.grid(True, color=GRID, linewidth=0.8, zorder=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(labelsize=FONT - 1, color=MUTED, labelcolor=MUTED)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)


PERCENT = FuncFormatter(lambda value, _: f"{round(100 * value, 6):g}%")


def svg(drawn: Figure, label: str) -> str:
    """The markup of a figure.

    Args:
        drawn: in the colours above.
        label: what a screen reader says of it.
    """
    out = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "moatbench", "text.parse_math": False}):
        drawn.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(out.getvalue())  # noqa: S314
    for found in root.findall(f"{{{SVG}}}metadata"):
        root.remove(found)
    for node in root.iter():
        if (style := node.get("style")) is not None:
            node.set("style", _themed(style))
        gid = node.attrib.pop("id", None) if node.tag == f"{{{SVG}}}g" else None
        if gid is not None and (at := MARK.fullmatch(gid)):
            node.set("data-c", at[1])
            node.set("class", "mark")
        elif gid is not None and gid.startswith("label"):
            node.set("class", "label")
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    for name, value in {"class": "plot", "role": "group", "aria-label": label, "tabindex": "0"}.items():
        root.set(name, value)
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _themed(style: str) -> str:
    def variable(found: re.Match[str]) -> str:
        colour = found[0].lower()
        if colour in VARIABLES:
            return f"var(--{VARIABLES[colour]})"
        kind = {"06": "s", "07": "d"}.get(colour[1:3])
        return f"var(--{kind}{int(colour[3:], 16)})" if kind else colour

    return re.sub("#[0-9a-fA-F]{6}", variable, style)
