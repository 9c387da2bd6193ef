"""Numbers, Markdown, LaTeX and the plot's labels."""

from __future__ import annotations

import shutil
import subprocess
from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from experiments.measure.estimate import Estimate
from experiments.report import latex, markdown
from experiments.report.labels import place_labels
from experiments.report.spelling import enumeration, interval, spell, with_interval
from experiments.report.structure import Column, Table


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.954, "share", ".95"),
        (1.0, "share", "1.00"),
        (-0.034, "share", "−.03"),
        (-0.001, "share", ".00"),
        (None, "share", "–"),
        (Estimate(None, reason="x"), "share", "–"),
        (Estimate(0.5, 0.4, 0.6), "share", ".50"),
        (1234.4, "count", "1,234"),
        (1.25, "dollars", "$1.25"),
        (0.0123, "dollars", "$0.012"),
        (0.0, "dollars", "$0.00"),
        (12.34, "seconds", "12.3 s"),
        (1234.0, "seconds", "1,234 s"),
        (0.00001, "p", "<.001"),
        (0.0312, "p", ".031"),
        ("word", "text", "word"),
    ],
)
def test_spelling(value, kind, text):
    assert spell(value, kind) == text


def test_intervals():
    assert with_interval(Estimate(0.95, 0.93, 1.0), "share") == ".95 [.93, 1.00]"
    assert with_interval(Estimate(0.95), "share") == ".95"
    assert interval(0.5, "share") == ""
    assert enumeration(["a"]) == "a"
    assert enumeration(["a", "b", "c"]) == "a, b and c"


NASTY = Table(
    "nasty",
    "50 % of a_b & c | d",
    (Column("name", "na_me", "text", 0), Column("x", "x|y"), Column("z", "z", "share", 2)),
    ({"name": "x_{1} \\ #$~^ < > | −λ 汉", "x": Estimate(0.5, -0.1, 0.7)}, {"name": "b", "x": None, "z": 1.0}),
    ("a note with_underscores and *stars*",),
    ("first", "second"),
)


def test_markdown_escapes_and_keeps_columns():
    lines = markdown.grid(NASTY).splitlines()
    assert [line.replace("\\|", "").count("|") for line in lines] == [4, 4, 4, 4]
    assert "x\\_{1} \\\\ #$~^ \\< \\> \\| −λ 汉" in lines[2]
    page = markdown.render([NASTY], ["It *works*."], "a_b")
    assert page.startswith("# a\\_b\n\nIt \\*works\\*.\n\n## 50 %")


def test_latex_escapes():
    assert latex.escape("x_{1} \\ #$~^ & %") == (
        r"x\_\{1\} \textbackslash{} \#\$\textasciitilde{}\textasciicircum{} \& \%"
    )
    assert latex.escape("−.5 λ 汉") == r"$-$.5 $\lambda$ ?"
    text = latex.fragment([NASTY])
    assert text.count("\\begin{table}") == text.count("\\end{table}") == 2
    assert text.count("\\toprule") == text.count("\\bottomrule") == 2


def test_long_tables_go_on_in_further_floats():
    rows = tuple({"name": str(i), "x": 0.5} for i in range(latex.ROWS_PER_PAGE + 1))
    text = latex.fragment([Table("long", "Long", NASTY.columns[:2], rows)])
    assert text.count("\\begin{table}") == 2
    assert "(continued)" in text
    assert len({part.split("}")[0] for part in text.split("\\label{")[1:]}) == 2


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_compiles(report, tmp_path):
    (tmp_path / "nasty.tex").write_text(latex.fragment([NASTY]))
    (tmp_path / "page.tex").write_text(latex.page("nasty.tex", "a_b", ["50 % & −λ"]))
    shutil.copy(report.files["tex"], tmp_path)
    shutil.copy(report.files["page"], tmp_path)
    for name in ("page.tex", report.files["page"].name):
        command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
        assert "Overfull" not in done.stdout


@pytest.mark.parametrize("seed", range(4))
def test_labels_do_not_overlap(seed):
    rng = np.random.default_rng(seed)
    figure = Figure(figsize=(6, 4.5), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    points = [(float(x), float(y)) for x, y in rng.random((10, 2))]
    axes.plot(*zip(*points, strict=True), "o")
    canvas.draw()
    bars = [(x - 0.02, y - 0.02, x + 0.02, y + 0.02) for x, y in points]
    place_labels(axes, [(f"defense(x={i})", "black", *p) for i, p in enumerate(points)], points, bars)
    canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 10
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert all(axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 for box in boxes)
