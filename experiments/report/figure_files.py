"""How a figure is laid out, once, and written."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine


def settle(figure: Figure) -> None:
    """Lay the figure out, once: what is placed in it afterwards, and both files, then have the same layout."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def save(figure: Figure, png: Path, pdf: Path, dpi: int = 200) -> None:
    """PNG and PDF, without dates; a figure that is not laid out yet is.

    Args:
        figure: on a canvas of Agg.
        png: path.
        pdf: path.
        dpi: pixels per inch of the PNG.
    """
    if isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        settle(figure)
    figure.savefig(png, dpi=dpi, metadata={"Software": None})
    figure.savefig(pdf, metadata={"CreationDate": None, "Producer": None, "Creator": None})
