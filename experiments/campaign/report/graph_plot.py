"""The largest group found under each policy: its accounts, what links them, and to whom they really belong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from experiments.campaign.campaign_result import HONEST, CampaignResult
from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.campaign.report.drawing import Look, canvas, looks, say
from experiments.campaign.report.graph_layout import layout
from experiments.campaign.report.naming import amount, policy_name, spaced
from experiments.report.figure_files import save

MOST_PANELS, MOST_ACCOUNTS, MOST_VECTORS = 3, 300, 3000
"""Beyond `MOST_VECTORS` links they are pixels in the PDF too."""
HONEST_LOOK = Look("#000000", (0, ()), "o")


class Picture(NamedTuple):
    """What is drawn of a group: (n,) owner of each account, (E,) ends and weight of links, and how many there are in
    all."""

    owner: NDArray[np.str_]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    weight: NDArray[np.float64]
    accounts: int
    links: int


def draw(summaries: Sequence[PolicySummary], png: Path, pdf: Path) -> None:
    """A panel for each policy with a group, the largest groups where there are more than `MOST_PANELS`; of several
    seeds the first with a group. Filled: an operation's accounts by colour and marker; hollow black: honest
    accounts."""
    found = []
    for s in summaries:
        pictures = [p for r in s.results if (p := picture(r)) is not None]
        if pictures:
            found.append((s, pictures[0]))
    largest = sorted(range(len(found)), key=lambda i: -found[i][1].accounts)[:MOST_PANELS]
    shown = [found[i] for i in sorted(largest)]
    figure = canvas(max(4.2, 3.9 * len(shown)), 4.8)
    grid = figure.subplots(1, max(1, len(shown)), squeeze=False)
    owners = sorted({str(owner) for _, p in shown for owner in p.owner} - {HONEST})
    style = looks(owners)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    for axes, (s, p) in zip(grid.flat, shown, strict=False):
        _panel(axes, s, p, style)
    if not shown:
        say(grid[0][0], "no group of linked accounts was found")
    else:
        _legend(figure, owners, style, any((p.owner == HONEST).any() for _, p in shown))
    save(figure, png, pdf)


def picture(result: CampaignResult) -> Picture | None:
    """The accounts with most links, each operation (and the honest) in its share of the group; None without links."""
    edges = result.edges.filter((pl.col("a") != pl.col("b")) & (pl.col("weight") > 0)).sort("provider", "a", "b")
    if not edges.height:
        return None
    ends = pl.concat([edges.select("provider", pl.col(end).alias("account"), "weight") for end in ("a", "b")])
    nodes = (
        ends.group_by("provider", "account")
        .agg(pl.col("weight").sum())
        .join(result.accounts.select("provider", "account", "operation"), on=["provider", "account"], how="left")
        .with_columns(pl.col("operation").fill_null(HONEST))
        .sort("operation", "weight", "provider", "account", descending=[False, True, False, False])
    )
    rank = pl.int_range(pl.len()).over("operation")
    share = min(1.0, MOST_ACCOUNTS / nodes.height)
    # Rounded up, so that a small operation does not vanish.
    kept = nodes.filter(rank < (pl.len().over("operation") * share).ceil()).with_row_index("row")
    rows = kept.select("provider", "account", pl.col("row").cast(pl.Int64))
    links = edges
    for end in ("a", "b"):
        links = links.join(
            rows.rename({"account": end, "row": f"{end}_row"}), on=["provider", end], how="inner", maintain_order="left"
        )
    return Picture(
        kept["operation"].to_numpy().astype(np.str_),
        links["a_row"].to_numpy(),
        links["b_row"].to_numpy(),
        links["weight"].to_numpy().astype(np.float64),
        nodes.height,
        edges.height,
    )


def _panel(axes: Axes, s: PolicySummary, p: Picture, style: dict[str, Look]) -> None:
    place = layout(len(p.owner), p.a, p.b, p.weight)
    axes.add_collection(
        LineCollection(
            list(np.stack([place[p.a], place[p.b]], axis=1)),
            colors="#777777",
            linewidths=0.5,
            alpha=float(np.clip(400 / max(len(p.a), 1), 0.12, 0.6)),
            zorder=1,
            rasterized=len(p.a) > MOST_VECTORS,
        )
    )
    for owner in sorted(set(p.owner.tolist()), key=lambda name: name == HONEST):
        mine, honest = p.owner == owner, owner == HONEST
        look = HONEST_LOOK if honest else style[owner]
        axes.plot(
            place[mine, 0],
            place[mine, 1],
            look.marker,
            color=look.colour,
            markerfacecolor="white" if honest else look.colour,
            markeredgecolor=look.colour if honest else "white",
            markeredgewidth=1.1 if honest else 0.4,
            markersize=4.5,
            zorder=3 if honest else 2,
        )
    axes.update_datalim([(-1.0, -1.0), (1.0, 1.0)])
    axes.margins(0.05)
    # Limits give way, not the frame: the layout leaves room for what stands around the frame.
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_title(policy_name(s.policy), fontsize=10, loc="left")
    text = f"{amount(p.accounts)} accounts, {amount(p.links)} links"
    if len(p.owner) < p.accounts:
        text += f"\n(drawn: {amount(len(p.owner))} accounts with most links, {amount(len(p.a))} links)"
    axes.set_xlabel(text, fontsize=8, color="#444444")


def _legend(figure: Figure, owners: Sequence[str], style: dict[str, Look], honest: bool) -> None:
    handles = [
        Line2D(
            [],
            [],
            linestyle="",
            marker=style[n].marker,
            color=style[n].colour,
            markeredgecolor="white",
            label=spaced(n),
        )
        for n in owners
    ]
    if honest:
        handles.append(
            Line2D([], [], linestyle="", marker="o", color="#000000", markerfacecolor="white", label="honest accounts")
        )
    figure.legend(handles=handles, loc="outside upper center", ncols=min(5, len(handles)), fontsize=8, frameon=False)
