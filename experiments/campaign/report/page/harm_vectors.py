"""Harvest against harm on a campaign's page, and false alarms by kind of honest account: policies as marks."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from experiments.campaign.measure.detection import ANY
from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.campaign.report.drawing import AMOUNTS
from experiments.campaign.report.naming import UNDEFENDED, policy_name, spaced
from experiments.measure.estimate import Estimate
from experiments.measure.pareto import front
from experiments.report.labels import place_labels
from experiments.report.page.vectors import FONT, FRONT, INK, MUTED, PERCENT, figure, marked, plain, series, svg
from experiments.report.plot import MARKERS

LINE = 0.27
"""Inches of a kind of account."""
MOST_LETTERS = 26


def colours(names: Sequence[str]) -> list[str]:
    """One for each policy or detector; the undefended run has that of text."""
    others = [name for name in dict.fromkeys(names) if name not in UNDEFENDED]
    return [INK if name in UNDEFENDED else series(others.index(name)) for name in names]


def harm_svg(summaries: Sequence[PolicySummary]) -> str | None:
    """Share of the plan harvested against honest accounts banned or lost; None where no policy has both."""
    known = [
        (i, s, x, y)
        for i, s in enumerate(summaries)
        if (x := s.of("usable_share")).value is not None and (y := s.of("honest_gone_share")).value is not None
    ]
    if not known:
        return None
    style = colours([s.policy for s in summaries])
    drawn = figure()
    axes = drawn.subplots()
    points = [(x.value or 0.0, 1e5 * (y.value or 0.0)) for _, _, x, y in known]
    best = sorted(points[i] for i in front([p[0] for p in points], [-p[1] for p in points]))
    axes.step([x for x, _ in best], [y for _, y in best], where="post", color=FRONT, linewidth=5, zorder=1)
    bars = []
    for (i, _, x, y), at in zip(known, points, strict=True):
        (left, right), (bottom, top) = limits(x), tuple(1e5 * v for v in limits(y))
        bars.append((left, bottom, right, top))
        cross = [([left, right], [at[1], at[1]]), ([at[0], at[0]], [bottom, top])]
        for part, (across, up) in enumerate(cross):
            marked(axes.plot(across, up, color=style[i], linewidth=1.1, zorder=3)[0], i, part)
        (mark,) = axes.plot(*[[v] for v in at], MARKERS[i % len(MARKERS)], color=style[i], markersize=8, zorder=5)
        mark.set_markeredgecolor("#ffffff")
        marked(mark, i, 2)
    plain(axes)
    axes.margins(0.14, 0.14)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_formatter(AMOUNTS)
    axes.set_xlabel("share of the plan harvested  (← better for the provider)", fontsize=FONT)
    axes.set_ylabel("honest accounts banned or lost, of 100,000", fontsize=FONT)
    drawn.canvas.draw()
    labels = [(policy_name(s.policy), style[i], *at) for (i, s, _, _), at in zip(known, points, strict=True)]
    place_labels(axes, labels, points, bars, size=FONT - 1, weight="bold", apart=250.0)
    for i, text in enumerate(axes.texts):
        text.set_path_effects([])  # the style sheet draws the halo, and letters stay letters
        text.set_gid(f"label{i}")
    return svg(drawn, f"Harvest against harm: {len(known)} policies. Arrow keys go from policy to policy.")


def kinds_svg(summaries: Sequence[PolicySummary]) -> str | None:
    """Share of the accounts of each kind that were alarmed on, hard negatives first; None where none ever was."""
    kinds = list(dict.fromkeys(kind for s in summaries for kind in s.names("kind")))
    watched = [(i, s) for i, s in enumerate(summaries) if s.of("false_alarms", "detector", ANY).value is not None]
    if not watched or not any(s.of("alarmed", "kind", kind).value for _, s in watched for kind in kinds):
        return None
    hard = {kind: any(s.of("hard", "kind", kind).value for s in summaries) for kind in kinds}
    order = sorted(kinds, key=lambda kind: (not hard[kind], kind))
    style = colours([s.policy for s in summaries])
    drawn = figure(LINE * len(order) + 1.3)
    axes = drawn.subplots()
    for row, kind in enumerate(order):
        for k, (i, s) in enumerate(watched):
            y = len(order) - 1 - row + 0.2 * ((len(watched) - 1) / 2 - k)
            _dot(axes, s.of("alarmed", "kind", kind), y, style[i], i, policy_name(s.policy))
    plain(axes)
    count = sum(hard.values())
    if 0 < count < len(order):
        axes.axhline(len(order) - count - 0.5, color=MUTED, linewidth=0.8, linestyle=":")
    names = [f"{_short(kind)} (hard)" if hard[kind] else _short(kind) for kind in order]
    axes.set_yticks([len(order) - 1 - i for i in range(len(order))], names, fontsize=FONT - 1)
    axes.set_ylim(-0.7, len(order) - 0.3)
    axes.xaxis.set_major_formatter(PERCENT)
    axes.set_xlabel("honest accounts alarmed on", fontsize=FONT)
    legend(drawn, axes)
    return svg(
        drawn, f"False alarms by kind: {len(order)} kinds of honest account. Arrow keys go from policy to policy."
    )


def legend(drawn, axes: Axes) -> None:  # type: ignore[no-untyped-def]
    """Each name once, beneath."""
    handles, texts = axes.get_legend_handles_labels()
    unique = dict(zip(texts, handles, strict=True))
    if unique:
        drawn.legend(
            unique.values(), unique.keys(), loc="outside lower center", ncols=3, fontsize=FONT - 1, frameon=False,
            labelcolor=MUTED,
        )  # fmt: skip


def limits(e: Estimate) -> tuple[float, float]:
    """Low and high; the value where there are none."""
    value = e.value or 0.0
    return (value if e.low is None else e.low), (value if e.high is None else e.high)


def _dot(axes: Axes, e: Estimate, y: float, colour: str, cell: int, label: str) -> None:
    if e.value is None:
        return
    marked(axes.plot(limits(e), [y, y], color=colour, linewidth=1.2, zorder=2)[0], cell, 0)
    marked(axes.plot([e.value], [y], "o", color=colour, markersize=5, zorder=3, label=label)[0], cell, 1)


def _short(kind: str) -> str:
    text = spaced(kind)
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"
