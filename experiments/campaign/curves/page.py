"""The page of the curves: measured transfer, the fits, and a plot of both. Writes files; measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from experiments.campaign.curves.fitted import UNTOUCHED, UNWORKED, USES, WITH_ERRORS, Curve, Curves
from experiments.report import markdown
from experiments.report.floor import floor_of
from experiments.report.names import family_name, family_order
from experiments.report.spelling import BLANK, Value, enumeration, share
from experiments.report.structure import Column, Table

STYLE = {UNTOUCHED: ("#000000", "o", "-"), UNWORKED: ("#0072B2", "s", "-"), WITH_ERRORS: ("#D55E00", "^", "-")}
COLUMNS = 3
MARGIN = 2.0
"""The curves are drawn this factor beyond the measured counts, dotted."""


def write(curves: Curves, out: Path) -> list[Path]:
    """Write ``curves.md`` and ``curves.png`` to a folder; the same curves give the same bytes."""
    out.mkdir(parents=True, exist_ok=True)
    page, plot = out / "curves.md", out / "curves.png"
    text = markdown.render(
        [_measured(curves), _fitted(curves)], [*WORDS, *_rivals(curves)], "MoatBench: transfer against queries"
    )
    page.write_text(f"{text}\n![Transfer against queries](curves.png)\n")
    _draw(curves, plot)
    return [page, plot]


WORDS = (
    "How much of the teacher's capability the lab's student has after so many queries, per family and per what became of "
    "the answers. Campaigns read what their harvest is worth off these curves (experiments/campaign/curves/learnt.py).",
    "Measured on the mini world with configs/experiment/curves.yaml (task, teacher, student: mini; a pool of 2,128 prompts "
    "of which so many are asked, in the task's mix: 1,000 chain, 600 code, 128 facts, 400 tool of 2,128): moatbench sweep "
    "+experiment=curves; the shipped table experiments/campaign/data/curves.csv and this page: python -m "
    "experiments.cli.curves +experiment=curves --table experiments/campaign/data/curves.csv. Without words the command "
    "writes this page from the shipped table.",
    "The student takes the same number of steps however many answers it has, so few answers are seen many times over, and "
    "wrong ones among them can be learnt by heart; curves with errors need not be smooth. Where a form misses what was "
    "measured, the band is widened to hold it.",
)


def _rivals(curves: Curves) -> list[str]:
    """Per use that was measured under several attacks, how far these lie apart."""
    found = []
    for defense in USES.values():
        attacks = sorted({curve.attack for curve in curves.every if curve.defense == defense})
        if len(attacks) < 2:
            continue
        by = {(c.family, c.attack): c for c in curves.every if c.defense == defense}
        apart = []
        for family in family_order(curves.families):
            values = [[p.value or 0.0 for p in by[family, a].points] for a in attacks if (family, a) in by]
            apart.append(f"{family_name(family)} {share(float(np.ptp(values, axis=0).max()))}")
        words = label(next(iter(by.values())))
        found.append(
            f"Largest difference between the attacks {enumeration(attacks)} on answers with {words}: {', '.join(apart)}."
        )
    return found


def label(curve: Curve) -> str:
    """What became of the answers, in words."""
    text = {
        USES[UNTOUCHED]: "as the teacher gave them",
        USES[UNWORKED]: "working hidden",
        USES[WITH_ERRORS]: f"{100 * (curve.strength or 0):g} % with a wrong token",
    }
    return text.get(curve.defense, curve.defense)


def _seeds(curves: Curves) -> str:
    return f"{len(curves.seeds)} seed{'s' * (len(curves.seeds) > 1)}"


def _measured(curves: Curves) -> Table:
    counts = sorted({int(q) for curve in curves.every for q in curve.queries})
    rows = []
    for curve in _ordered(curves.every):
        row: dict[str, Value] = {"family": family_name(curve.family), "answers": label(curve), "attack": curve.attack}
        row |= {f"q{int(q)}": point for q, point in zip(curve.queries, curve.points, strict=True)}
        rows.append(row)
    return Table(
        "measured",
        "Measured transfer by number of queries",
        (*NAMES, *(Column(f"q{q}", f"{q:,}") for q in counts)),
        tuple(rows),
        (
            "Transfer = (S − S_base)/(T_clean − S_base), greedy decoding, strict grading; [95 % interval], t with "
            f"the variance between seeds from all points of a family, {_seeds(curves)} "
            "(each another teacher, harvest and student). Pooled: ratio of means over "
            "families.",
            "Noise floor, the smallest transfer that could have been told from 0 (median over points): "
            f"{', '.join(_floors(curves))}.",
        ),
    )


def _floors(curves: Curves) -> list[str]:
    found = []
    for family in family_order(curves.families):
        floor = floor_of([point for curve in curves.every if curve.family == family for point in curve.points])
        found.append(f"{family_name(family)} {share(floor) if floor is not None else BLANK}")
    return found


def _fitted(curves: Curves) -> Table:
    chosen = {id(curve) for curve in curves.curves.values()}
    rows = []
    for curve in _ordered(curves.every):
        a, b, c = curve.parameters
        low, high = np.nanpercentile(curve.draws, (2.5, 97.5), axis=0)
        ends = zip(low, high, strict=True)
        spans = [
            f" [{share(lo)}, {share(hi)}]" if i < 2 else f" [{lo:,.0f}, {hi:,.0f}]" for i, (lo, hi) in enumerate(ends)
        ]
        located = curve.form.located
        rows.append(
            {
                "family": family_name(curve.family),
                "answers": label(curve),
                "attack": curve.attack,
                "form": curve.form.name,
                "a": share(a) + spans[0],
                "b": share(b) + spans[1],
                "c": f"{c:,.0f}" + (spans[2] if located else " (fixed)"),
                **{f"error_{name}": share(error, 3) for name, error in curve.errors.items()},
                "used": "yes" if id(curve) in chosen else "",
            }
        )
    names = tuple(curves.every[0].errors)
    return Table(
        "fitted",
        "Fitted curves",
        (
            *NAMES,
            *(Column(key, key, "text") for key in ("form", "a", "b", "c")),
            *(Column(f"error_{name}", f"held-out error, {name}", "number") for name in names),
            Column("used", "used", "text"),
        ),
        tuple(rows),
        (
            "Forms: power min(1, a·(q/c)^b) with c the largest count; saturating a·(1 − exp(−(q/c)^b)); hill "
            "a·q^b/(c^b + q^b). 0 ≤ a ≤ 1, .1 ≤ b ≤ 10 (power: ≤ 1), c from a tenth of the least to ten times the largest "
            "count; q counts the queries of all families together.",
            "Held-out error: root mean square, in transfer, over the counts but the largest, each predicted from "
            "all others; the smallest chooses the form.",
            "Brackets: 2.5 and 97.5 % of the draws, each fitted anew with the chosen form. Parameters trade off against "
            "each other and mean little one by one; read the band.",
            "Used: of several attacks on the same answers, the one with the larger mean over the counts.",
        ),
    )


NAMES = (
    Column("family", "family", "text", 0),
    Column("answers", "answers", "text", 0),
    Column("attack", "attack", "text", 0),
)


def _ordered(curves: Sequence[Curve]) -> list[Curve]:
    families = family_order(sorted({curve.family for curve in curves}))
    uses = list(USES.values())
    return sorted(curves, key=lambda c: (families.index(c.family), uses.index(c.defense), c.attack))


def _draw(curves: Curves, path: Path) -> None:
    families = family_order(curves.families)
    rows = -(-(len(families) + 1) // COLUMNS)
    figure = Figure(figsize=(3.5 * COLUMNS, 2.9 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True)
    panels = [grid[i // COLUMNS][i % COLUMNS] for i in range(rows * COLUMNS)]
    for i, (axes, family) in enumerate(zip(panels, families, strict=False)):
        for use in USES:
            if (family, use) in curves.curves:
                _line(axes, curves.curves[family, use], use)
        _dress(axes, curves, family, first=i % COLUMNS == 0)
    for axes in panels[len(families) :]:
        axes.set_axis_off()
    shown = [curves.curves[families[0], use] for use in USES if (families[0], use) in curves.curves]
    handles = [panels[0].get_legend_handles_labels()[0][i] for i in range(len(shown))]
    panels[len(families)].legend(
        handles,
        [label(curve) for curve in shown],
        title="Answers the student is trained on\n",
        loc="center left",
        frameon=False,
        fontsize=10,
        title_fontsize=10,
        labelspacing=0.8,
        alignment="left",
    )
    figure.supxlabel(
        "queries of the lab attack, all families together (log scale)\n"
        f"Points: measured, {_seeds(curves)}, bars and bands 95 %. Lines: fitted; dotted: extrapolated.",
        fontsize=9,
    )
    figure.savefig(path, dpi=200, metadata={"Software": None})


def _line(axes: Axes, curve: Curve, use: str) -> None:
    colour, marker, style = STYLE[use]
    least, most = curve.queries[0], curve.queries[-1]
    q = np.geomspace(least, most, 200)
    read = curve.at(q)
    axes.fill_between(q, read.low, read.high, color=colour, alpha=0.15, linewidth=0)
    for ends in ((least / MARGIN, least), (most, most * MARGIN)):
        outside = np.geomspace(*ends, 40)
        beyond = curve.at(outside)
        axes.fill_between(outside, beyond.low, beyond.high, color=colour, alpha=0.07, linewidth=0)
        axes.plot(outside, beyond.value, color=colour, linestyle=":", linewidth=1.3)
    axes.plot(q, read.value, color=colour, linestyle=style, linewidth=1.5)
    points = [point for point in curve.points if point.value is not None]
    values = np.array([point.value for point in points], np.float64)
    spans = [
        [max(0.0, v - (v if e is None else e)) for v, e in zip(values, (p.low for p in points), strict=True)],
        [max(0.0, (v if e is None else e) - v) for v, e in zip(values, (p.high for p in points), strict=True)],
    ]
    places = [q for q, point in zip(curve.queries, curve.points, strict=True) if point.value is not None]
    axes.errorbar(
        places, values, yerr=spans, label=label(curve), color=colour, fmt=marker, markersize=5, elinewidth=1.1
    )


def _dress(axes: Axes, curves: Curves, family: str, first: bool) -> None:
    counts = sorted({int(q) for curve in curves.curves.values() for q in curve.queries})
    axes.set_xscale("log")
    axes.set_xlim(counts[0] / MARGIN, counts[-1] * MARGIN)
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.tick_params(labelsize=8)
    axes.set_ylim(-0.12, 1.08)
    axes.set_yticks(np.arange(0, 1.01, 0.25))
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.axhline(0, color="#888888", linewidth=0.8)
    words = family_name(family)
    axes.set_title(words if words == family else f"{words} ({family})", fontsize=10, loc="left")
    if first:
        axes.set_ylabel("transfer", fontsize=9)
