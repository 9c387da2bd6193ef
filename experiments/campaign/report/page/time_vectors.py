"""What happened over time on a campaign's page: a line for each policy, the mean of its seeds, with their range."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import polars as pl
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from experiments.campaign.campaign_result import HONEST, CampaignResult
from experiments.campaign.measure.harvested import series as harvest_series
from experiments.campaign.measure.policy_summary import PolicySummary
from experiments.campaign.measure.reviewing import queues, terms_of, waiting
from experiments.campaign.report.drawing import AMOUNTS
from experiments.campaign.report.naming import dollars, policy_name
from experiments.campaign.report.page.harm_vectors import colours, legend
from experiments.report.page.vectors import FONT, PERCENT, figure, marked, plain, svg

Frame = Callable[[CampaignResult], pl.DataFrame | None]
"""``day`` and ``value``; None where there is nothing."""


def usable(result: CampaignResult) -> pl.DataFrame | None:
    """Usable exchanges so far."""
    return harvest_series(result).select("day", pl.col("usable").cast(pl.Float64).alias("value"))


def price(result: CampaignResult) -> pl.DataFrame | None:
    """Dollars so far for each usable exchange so far, from the first one on."""
    frame = harvest_series(result).filter(pl.col("usable") > 0)
    return frame.select("day", (pl.col("dollars") / pl.col("usable")).alias("value")) if frame.height else None


def gone(result: CampaignResult) -> pl.DataFrame | None:
    """Share of all attackers' accounts that is banned or lost."""
    attack = result.accounts.filter(pl.col("operation") != HONEST)
    if not attack.height:
        return None
    ends = np.sort(attack.select(pl.min_horizontal("banned_day", "lost_day").alias("d"))["d"].drop_nulls().to_numpy())
    days = np.unique(result.epochs["day"].to_numpy())
    return pl.DataFrame({"day": days, "value": np.searchsorted(ends, days + 1e-9) / attack.height})


def queued(result: CampaignResult) -> pl.DataFrame | None:
    """Groups that wait for a review, at most."""
    terms = terms_of(result)
    if terms is None or not result.clusters.height:
        return None
    return waiting(queues(result, terms)).select("day", pl.col("waiting").cast(pl.Float64).alias("value"))


def reviewed(result: CampaignResult) -> pl.DataFrame | None:
    """Groups reviewed in each day."""
    if not result.clusters.height:
        return None
    days = result.epochs.group_by((pl.col("day") - 1e-9).ceil().alias("day")).agg(pl.col("reviews").sum())
    return days.sort("day").select("day", pl.col("reviews").cast(pl.Float64).alias("value"))


FORMATS = {"count": AMOUNTS, "share": PERCENT, "dollars": FuncFormatter(lambda value, _: dollars(value))}


def time_svg(
    summaries: Sequence[PolicySummary], frame: Frame, title: str, kind: str, *, stepped: bool = False
) -> str | None:
    """A line for each policy; None where there is nothing of any.

    Args:
        summaries: the policies, which the page calls by their place.
        frame: what is drawn.
        title: of the vertical axis.
        kind: of `FORMATS`.
        stepped: whether a value is of the whole day that ends there.
    """
    style = colours([s.policy for s in summaries])
    drawn = figure(3.4)
    axes = drawn.subplots()
    shown, lowest, highest = 0, np.inf, 0.0
    step: Literal["pre"] | None = "pre" if stepped else None
    how = "steps-pre" if stepped else "default"
    for i, s in enumerate(summaries):
        seeds = [own for own in map(frame, s.results) if own is not None and own.height]
        if not seeds:
            continue
        days = np.unique(np.concatenate([own["day"].to_numpy() for own in seeds]))
        days = days[days >= max(float(own["day"].to_numpy()[0]) for own in seeds)]
        lines = np.stack([_at(own, days) for own in seeds])
        if stepped:  # the first day has a beginning too
            days, lines = np.append(days[0] - 1, days), np.concatenate([lines[:, :1], lines], axis=1)
        mean = lines.mean(0)
        if len(seeds) > 1:
            marked(
                axes.fill_between(days, lines.min(0), lines.max(0), color=style[i], alpha=0.16, linewidth=0, step=step),
                i,
                0,
            )
        (line,) = axes.plot(
            days, mean, color=style[i], linewidth=2, zorder=3, label=policy_name(s.policy), drawstyle=how
        )
        line.set_marker("o")
        line.set_markersize(3.5)
        line.set_markevery([len(days) - 1])
        marked(line, i, 1)
        shown, lowest, highest = shown + 1, min(lowest, float(mean.min())), max(highest, float(mean.max()))
    if not shown:
        return None
    plain(axes)
    if kind == "dollars" and lowest > 0 and highest > 30 * lowest:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=kind == "count"))
        axes.set_ylim(0, max(axes.get_ylim()[1], 1.0 if kind == "count" else 0.0))
    axes.yaxis.set_major_formatter(FORMATS[kind])
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("day", fontsize=FONT)
    axes.set_ylabel(title, fontsize=FONT)
    legend(drawn, axes)
    return svg(drawn, f"{title} over the days of the campaign: {shown} policies. Arrow keys go from policy to policy.")


def _at(own: pl.DataFrame, days: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a series is at these days: what it was at its last one before."""
    return np.asarray(
        own["value"].to_numpy()[np.searchsorted(own["day"].to_numpy(), days, side="right") - 1], np.float64
    )
