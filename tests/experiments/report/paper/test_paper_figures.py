"""Figures of a paper: their width, letters that can be read, embedded fonts."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from experiments.report.paper.build_table import build_table
from experiments.report.paper.paper_figure import draw
from experiments.report.paper.table_spec import SpecColumn, TableSpec
from experiments.report.write import summaries_of
from tests.experiments.report.cells import grid

COLUMNS = (SpecColumn("transfer", by="family"), SpecColumn("honest_accuracy"))


@pytest.fixture(scope="module")
def summaries():
    return summaries_of(grid(attacks=("imitate",)))


@pytest.mark.parametrize(
    ("figure", "width", "inches"), [("bars", "single", 3.25), ("bars", "double", 6.75), ("pareto", "single", 3.25)]
)
def test_a_figure_is_as_wide_as_the_column_and_readable(summaries, figure, width, inches, tmp_path, monkeypatch):
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k))[1])
    spec = TableSpec(COLUMNS, figure=figure, width=width, subject="permuted", names={"permuted": "$x_{1}$ & %"})
    assert draw(build_table("t", spec, summaries), spec, tmp_path / "t.png", tmp_path / "t.pdf")
    assert Image.open(tmp_path / "t.png").width == pytest.approx(300 * inches, abs=1)
    texts = [t for t in drawn[0].findobj(Text) if t.get_text() and t.get_visible()]
    assert min(t.get_fontsize() for t in texts) >= 7
    assert any("$x_{1}$ & %" in t.get_text() for t in texts)
    pdf = (tmp_path / "t.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", pdf)
    assert float(box[1]) == pytest.approx(72 * inches, abs=0.5)


def test_texts_of_bars_do_not_leave_the_page(summaries, tmp_path, monkeypatch):
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k))[1])
    spec = TableSpec(COLUMNS, width="single")
    assert draw(build_table("t", spec, summaries), spec, tmp_path / "t.png", tmp_path / "t.pdf")
    figure = drawn[0]
    figure.set_dpi(100)
    figure.canvas.draw()
    for axes in figure.axes:
        for text in (axes.title, *axes.get_yticklabels()):
            if text.get_visible() and text.get_text():
                box = text.get_window_extent()
                assert box.x0 >= -1, text.get_text()
                assert box.x1 <= 325 + 1, text.get_text()


def test_without_honest_accuracy_bars_stand_in(summaries, tmp_path):
    spec = TableSpec((SpecColumn("transfer"),), figure="pareto")
    table = build_table("t", spec, summaries)
    assert draw(table, spec, tmp_path / "t.png", tmp_path / "t.pdf")
    bars = replace(spec, figure="bars")
    assert draw(table, bars, tmp_path / "b.png", tmp_path / "b.pdf")
    assert (tmp_path / "t.png").read_bytes() == (tmp_path / "b.png").read_bytes()
