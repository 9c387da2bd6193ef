"""The Pareto plot of a page: every cell, those under the worst attack on their defense in full colour, and the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.ticker import MaxNLocator

from experiments.measure.estimate import Estimate
from experiments.measure.panel import ALL
from experiments.measure.pareto import front
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.labels import place_labels
from experiments.report.names import family_name
from experiments.report.page.vectors import FONT, FRONT, INK, PERCENT, figure, marked, plain, series, svg
from experiments.report.plot import MARKERS, points_of

Look = Mapping[str, tuple[str, str]]
MOST_LABELS = 12
"""Points that are all named; of more, those on the front are, and the rest say their names when they are pointed at."""
FAINT = 0.35


def looks(summaries: Sequence[Summary]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each defense; those of the undefended API are its own."""
    names = sorted({"+".join(s.names) for s in summaries if s.names})
    own = {name: (series(i), MARKERS[(i + i // len(MARKERS)) % len(MARKERS)]) for i, name in enumerate(names)}
    return {"": (INK, "*"), **own}


def pareto_svg(group: Sequence[Summary], numbers: Sequence[int], family: str, look: Look, where: str) -> str | None:
    """Transfer against honest accuracy under one threat model; None where no cell has both.

    Args:
        group: cells of the threat model.
        numbers: what the page calls each.
        family: whose transfer and accuracy.
        look: colour and marker by defense.
        where: the threat model in words, "" where there is but one.
    """
    honest = ALL if family == POOLED else family
    worst = points_of(group, family)
    heads = {(point.label, point.x) for point in worst}
    known = [
        (number, s, moved, right, (s.defense, moved.value) in heads)
        for number, s in zip(numbers, group, strict=True)
        if (moved := s.headline_estimate("transfer", family)).value is not None
        and (right := s.estimate("T_def", honest, "", "strict")).value is not None
    ]
    if not known:
        return None
    drawn = figure()
    axes = drawn.subplots()
    chosen = [worst[i] for i in front([p.x for p in worst], [p.y for p in worst])]
    axes.step([p.x for p in chosen], [p.y for p in chosen], where="post", color=FRONT, linewidth=5, zorder=1)
    for number, s, moved, right, heavy in known:
        colour, marker = look["+".join(s.names)]
        strength = {"color": colour, "alpha": 1.0 if heavy else FAINT}
        (left, high_x), (bottom, top) = _limits(moved), _limits(right)
        lines = [([left, high_x], [right.value, right.value]), ([moved.value, moved.value], [bottom, top])]
        for part, (x, y) in enumerate(lines):
            marked(axes.plot(x, y, linewidth=1.1, zorder=3 + heavy, **strength)[0], number, part)  # type: ignore[arg-type]
        size = (12 if marker == "*" else 7.5) * (1.0 if heavy else 0.8)
        at = axes.plot([moved.value], [right.value], marker, markersize=size, zorder=5 + heavy, **strength)  # type: ignore[arg-type]
        at[0].set_markeredgecolor("#ffffff")
        at[0].set_markeredgewidth(0.7)
        marked(at[0], number, 2)
    plain(axes)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(PERCENT)
    axes.margins(0.1, 0.1)
    name = "all families" if family == POOLED else family_name(family)
    axes.set_xlabel(f"transfer to the student, {name}  (← better for the provider)", fontsize=FONT)
    axes.set_ylabel("accuracy of honest answers  (better for users →)", fontsize=FONT)
    drawn.draw_without_rendering()  # where the axes lie
    named = worst if len(worst) <= MOST_LABELS else chosen
    place_labels(
        axes,
        [(p.label, look[p.name][0], p.x, p.y) for p in named],
        [(moved.value or 0.0, right.value or 0.0) for _, _, moved, right, _ in known],
        [(_limits(m)[0], _limits(r)[0], _limits(m)[1], _limits(r)[1]) for _, _, m, r, _ in known],
        size=FONT - 1,
        weight="bold",  # as the style sheet has them
        apart=250.0,  # a label tells nothing under another
    )
    for i, text in enumerate(axes.texts):
        text.set_path_effects([])  # the style sheet draws the halo, and letters stay letters
        text.set_gid(f"label{i}")
    count = f"{len(known)} cells, {len(chosen)} defenses on the front" + (f"; {where}" if where else "")
    return svg(
        drawn, f"Pareto plot of {name}: transfer against honest accuracy. {count}. Arrow keys go from cell to cell."
    )


def _limits(estimate: Estimate) -> tuple[float, float]:
    value = estimate.value or 0.0
    return (value if estimate.low is None else estimate.low), (value if estimate.high is None else estimate.high)
