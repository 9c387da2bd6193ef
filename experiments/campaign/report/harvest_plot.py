"""The harvest over time: usable exchanges, attack accounts in use, and bans, a line for each policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from experiments.campaign.measure.harvested import banned_by_day, series
from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.campaign.report.drawing import AMOUNTS, Look, canvas, columns_of, plain, policy_looks, say
from experiments.campaign.report.naming import policy_name
from experiments.report.figure_files import save

VISIBLE = 0.3
"""The plan is drawn where the largest harvest is at least this share of it: otherwise it would press all lines flat."""


def draw(summaries: Sequence[PolicySummary], png: Path, pdf: Path) -> None:
    """Cumulative usable exchanges above; attack accounts in use and banned a day below. With several seeds the mean,
    and a band over their range."""
    figure = canvas(6.6, 6.4)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": (3, 1.2, 1.2)})
    style = policy_looks(summaries)
    for s in summaries:
        look, lines = style[s.policy], [series(r) for r in s.results]
        _line(top, lines, "usable", look, policy_name(s.policy))
        _line(middle, lines, "active", look)
        _line(bottom, [banned_by_day(r) for r in s.results], "banned", look)
    planned = max((s.of("planned").value or 0.0) for s in summaries)
    reached = max((s.of("usable").value or 0.0) for s in summaries)
    if planned and reached >= VISIBLE * planned:
        top.axhline(planned, color="#777777", linewidth=1, linestyle=(0, (1, 2)))
        top.annotate(
            "planned", (0.01, planned), (0, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
            fontsize=8, color="#555555",
        )  # fmt: skip
        top.set_ylim(0, 1.1 * planned)
    for axes, label in (
        (top, "usable exchanges so far"),
        (middle, "attack accounts\nin use"),
        (bottom, "attack accounts\nbanned a day"),
    ):
        plain(axes)
        axes.set_ylabel(label, fontsize=9)
        axes.yaxis.set_major_formatter(AMOUNTS)
        axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))
    if not any(s.of("attack_accounts").value for s in summaries):
        say(top, "nobody attacks")
    bottom.set_xlabel("day", fontsize=9)
    bottom.set_xlim(0, max(float(r.epochs["day"].to_numpy().max(initial=1.0)) for s in summaries for r in s.results))
    if top.get_legend_handles_labels()[0]:
        handles, labels = top.get_legend_handles_labels()
        columns = columns_of(figure, labels, 4)
        figure.legend(
            handles, labels, loc="outside upper center", ncols=columns, fontsize=8, frameon=False, handlelength=3
        )
    save(figure, png, pdf)


def _line(axes: Axes, seeds: Sequence[pl.DataFrame], column: str, look: Look, label: str | None = None) -> None:
    """Mean over seeds on all their days, and their range. Before its first row a series is 0, after its last what it
    was."""
    known = [frame for frame in seeds if frame.height]
    if not known:
        return
    days = np.unique(np.concatenate([frame["day"].to_numpy() for frame in known]))
    values = np.stack(
        [
            np.append(0.0, frame[column].to_numpy().astype(np.float64))[
                np.searchsorted(frame["day"].to_numpy(), days, side="right")
            ]
            for frame in known
        ]
    )
    days, values = (
        np.append(0.0, days),
        np.concatenate([np.zeros((len(known), 1)) if column == "usable" else values[:, :1], values], axis=1),
    )
    axes.plot(days, values.mean(0), color=look.colour, linestyle=look.dash, linewidth=1.6, label=label, zorder=3,
              drawstyle="default" if column == "usable" else "steps-pre")  # fmt: skip
    if len(known) > 1:
        axes.fill_between(days, values.min(0), values.max(0), color=look.colour, alpha=0.15, linewidth=0, zorder=2,
                          step=None if column == "usable" else "pre")  # fmt: skip
