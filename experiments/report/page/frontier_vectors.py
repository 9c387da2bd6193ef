"""The frontier plot of a page: a line a defense, a dot for each price that honest users pay."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.estimate import Estimate
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.frontier_table import FrontierLine, learnt, lines, spelt, targets_of
from experiments.report.names import family_name
from experiments.report.page.vectors import DROPS, FONT, FRONT, MUTED, PERCENT, figure, marked, plain, price, svg

LINE = 0.26
"""Inches of a line."""
LONGEST_LABEL = 34
"""Letters of a defense's name beside its line; the page says the whole name where it is pointed at."""


def frontier_svg(summaries: Sequence[Summary], setting: str, family: str) -> str | None:
    """One attack's lines; None where nothing was calibrated, or nothing is known of the family.

    Args:
        summaries: all cells of the page, which calls each by its place here.
        setting: the attack, as `experiments.report.frontier_table.lines` says it.
        family: whose transfer.
    """
    every = lines(summaries)
    own = [line for line in every if line.setting == setting]
    if not any(learnt(s, family) for line in own for s in (*line.at.values(), line.stated)):
        return None
    number = {id(s): i for i, s in enumerate(summaries)}
    targets = targets_of(every)
    drawn = figure(LINE * len(own) + 1.3)
    axes = drawn.subplots()
    for i, line in enumerate(own):
        y = len(own) - 1 - i
        shown = [
            (line.at.get(target), price(k + max(0, DROPS - len(targets))), target) for k, target in enumerate(targets)
        ]
        for k, (cell, colour, target) in enumerate(shown):
            offset = 0.18 * ((len(targets) - 1) / 2 - k)
            _dot(axes, learnt(cell, family), y + offset, colour, number.get(id(cell)), f"at {spelt(target)}")
        _dot(axes, learnt(line.stated, family), y, MUTED, number.get(id(line.stated)), "as it is")
        bare = learnt(line.stated, family)
        if not line.costliest.names and bare is not None and bare.value is not None:
            axes.axvline(bare.value, color=FRONT, linewidth=1.4, linestyle=":", zorder=1)
    plain(axes)
    axes.set_yticks([len(own) - 1 - i for i in range(len(own))], [_short(line) for line in own], fontsize=FONT - 1)
    axes.set_ylim(-0.7, len(own) - 0.3)
    axes.xaxis.set_major_formatter(PERCENT)
    name = "all families" if family == POOLED else family_name(family)
    axes.set_xlabel(f"transfer to the student, {name}  (← better for the provider)", fontsize=FONT)
    handles, texts = axes.get_legend_handles_labels()
    unique = dict(zip(texts, handles, strict=True))
    drawn.legend(
        unique.values(),
        unique.keys(),
        loc="outside lower center",
        ncols=3,
        fontsize=FONT - 1,
        frameon=False,
        labelcolor=MUTED,
    )
    return svg(
        drawn,
        f"Frontier of {name}, {setting}: {len(own)} defenses by what honest users pay. Arrow keys go from cell to cell.",
    )


def _dot(axes, value: Estimate | None, y: float, colour: str, cell: int | None, label: str) -> None:  # type: ignore[no-untyped-def]
    if value is None or value.value is None or cell is None:
        return
    if value.low is not None and value.high is not None:
        marked(axes.plot([value.low, value.high], [y, y], color=colour, linewidth=1.3, zorder=2)[0], cell, 0)
    (dot,) = axes.plot([value.value], [y], "o", color=colour, markersize=5.5, zorder=3, label=label)
    marked(dot, cell, 1)


def _short(line: FrontierLine) -> str:
    return line.defense if len(line.defense) <= LONGEST_LABEL else f"{line.defense[: LONGEST_LABEL - 1]}…"
