"""From what a campaign harvested to what a student learns: the mapping to the lab's curves, stated, and the reading.

Nobody outside can measure what a campaign of millions of exchanges teaches a frontier model. What is read here is what the
*same share* (or a stated number) of a lab attack's queries taught the lab's student in the family that stands for the
capability. The mapping is an assumption, so it is put in words beside every number (`Moved.mapping`).

How an attacker can use a harvest, each a curve that was measured whole:

* ``untouched``: train on the answers as the teacher gave them, leave the rest;
* ``without_traces``: drop all working, train on the answers alone, untouched and hidden ones together;
* ``with_errors``: train on all that shows its working, untouched and altered, errors and all. No more altered ones than keep
  the share of wrong answers at or below the share that the curve was measured at. Never more than as many untouched ones
  would teach: the curves were fitted apart and may cross.

Transfer is the largest of the three. That is a lower bound on the best attacker who can tell altered answers (as the lab's
attack ``filter`` does, with a checker): he can do each of these, and may also mix them, weigh them, repair what was altered,
fill in hidden working or repeat what was refused. It takes the choice among the three, made by the estimates, as given. An
attacker who cannot tell what was altered may fall below it where much is altered. Answers silently given by another model do
not count at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from configs.errors import ConfigError, require
from experiments.campaign.curves.fitted import UNTOUCHED, UNWORKED, USES, WITH_ERRORS, Curves, Reading
from experiments.campaign.curves.link import CapabilityLink
from experiments.measure.estimate import Estimate

Array = NDArray[np.float64]

NOTHING = "nothing was planned"
GOT = ("usable", "hidden", "altered")
"""Columns of a harvest that can be learnt from."""


class Exchanges(NamedTuple):
    """What one operation got of one capability, numbers of exchanges, see `CampaignResult`.

    Args:
        capability: name.
        planned: meant to be made in all.
        usable: answered as the teacher gave them.
        hidden: answered without the working.
        altered: answered by a provider that alters, see `CapabilityLink.altered_wrong`.
    """

    capability: str
    planned: float
    usable: float
    hidden: float = 0.0
    altered: float = 0.0


class Moved(NamedTuple):
    """How much of one capability was transferred.

    Args:
        capability: name.
        family: of the lab.
        transfer: with its 95 % interval; blank where nothing was planned and the mapping is by share.
        extrapolated: whether the lab never asked so few or so many.
        use: the best one, of `USES`.
        queries: of the lab that the exchanges of this use stand for.
        share: what these exchanges are of the plan; NaN where nothing was planned.
        mapping: in words; to be printed with the number.
    """

    capability: str
    family: str
    transfer: Estimate
    extrapolated: bool
    use: str
    queries: float
    share: float
    mapping: str


class Course(NamedTuple):
    """Transfer of one capability along the columns of a growing harvest, all (D,).

    Args:
        value: estimate under the best use.
        low: lower limit of the 95 % interval.
        high: upper limit.
        extrapolated: whether the count of queries was not measured.
        use: index of the best use in `USES`.
        queries: of the lab.
        exchanges: of the campaign that this use trains on.
    """

    value: Array
    low: Array
    high: Array
    extrapolated: NDArray[np.bool_]
    use: NDArray[np.int64]
    queries: Array
    exchanges: Array


def course(
    link: CapabilityLink,
    curves: Curves,
    capability: str,
    planned: float,
    usable: ArrayLike,
    hidden: ArrayLike,
    altered: ArrayLike,
) -> Course:
    """Transfer after each of D harvests of one capability.

    Args:
        link: the mapping.
        curves: measured in the lab.
        capability: one of ``link.families``.
        planned: exchanges meant to be made in all.
        usable: (D,) exchanges so far, as the teacher gave them.
        hidden: (D,) the same without working.
        altered: (D,) the same from a provider that alters.

    Raises:
        ConfigError: an unknown capability; numbers below 0 or not finite; more exchanges than planned where the mapping is
            by share; columns of different lengths.
    """
    family = link.family(capability, curves)
    got = {"usable": usable, "hidden": hidden, "altered": altered}
    counts = {name: np.atleast_1d(np.asarray(column, np.float64)) for name, column in got.items()}
    length = len(counts["usable"])
    for name, column in (*counts.items(), ("planned", np.array([planned], np.float64))):
        where = f"{capability}.{name}"
        require(bool((np.isfinite(column) & (column >= 0)).all()), where, got.get(name, planned), "must be at least 0")
        require(name == "planned" or column.shape == (length,), where, column.shape, f"must have length {length}")
    answered = sum(counts.values())
    if link.kind == "share" and length:
        most = float(np.max(answered))
        require(most <= planned * (1 + 1e-9), f"{capability}.planned", planned, f"is less than the {most:g} answered")
    trained = _trained_on(counts, link.altered_wrong, curves.error_rate)
    uses = [use for use in USES if (family, use) in curves.curves]
    queries = np.stack([link.queries(trained[use], planned, curves) for use in uses])
    readings = [curves.curves[family, use].at(np.nan_to_num(q)) for use, q in zip(uses, queries, strict=True)]
    if WITH_ERRORS in uses:
        at_most = curves.curves[family, UNTOUCHED].at(np.nan_to_num(queries[uses.index(WITH_ERRORS)]))
        readings[uses.index(WITH_ERRORS)] = _capped(readings[uses.index(WITH_ERRORS)], at_most)
    best = np.argmax([reading.value for reading in readings], axis=0)
    at = (best, np.arange(length))
    blank = np.isnan(queries[at])
    value, low, high = (
        np.where(blank, np.nan, np.stack([getattr(reading, name) for reading in readings])[at])
        for name in ("value", "low", "high")
    )
    return Course(
        value,
        low,
        high,
        np.stack([reading.extrapolated for reading in readings])[at],
        np.array([list(USES).index(use) for use in uses])[best],
        queries[at],
        np.stack([trained[use] for use in uses])[at],
    )


def _capped(reading: Reading, most: Reading) -> Reading:
    """The smaller of two readings, limit by limit."""
    value, low, high = (np.minimum(getattr(reading, n), getattr(most, n)) for n in ("value", "low", "high"))
    return Reading(value, low, high, reading.extrapolated | most.extrapolated)


def _trained_on(counts: Mapping[str, Array], wrong: float, rate: float) -> dict[str, Array]:
    """Exchanges that each use trains on. Of altered ones at most so many that wrong ones are ``rate`` of all:
    wrong·x ≤ rate·(usable + x)."""
    usable, altered = counts["usable"], counts["altered"]
    bearable = altered if wrong <= rate else np.minimum(altered, usable * rate / (wrong - rate))
    return {UNTOUCHED: usable, UNWORKED: usable + counts["hidden"], WITH_ERRORS: usable + bearable}


def moved(link: CapabilityLink, curves: Curves, harvest: Iterable[Exchanges]) -> list[Moved]:
    """Transfer of each capability at the end of a campaign; raises as `course` does."""
    found = []
    for got in harvest:
        end = course(link, curves, got.capability, got.planned, [got.usable], [got.hidden], [got.altered])
        value, low, high = float(end.value[0]), float(end.low[0]), float(end.high[0])
        estimate = Estimate(None, reason=NOTHING) if np.isnan(value) else Estimate(value, low, high)
        found.append(
            Moved(
                got.capability,
                link.family(got.capability, curves),
                estimate,
                bool(end.extrapolated[0]),
                list(USES)[int(end.use[0])],
                float(end.queries[0]),
                float(end.exchanges[0]) / got.planned if got.planned > 0 else float("nan"),
                link.words(got.capability, curves),
            )
        )
    return found


def exchanges(harvest: pl.DataFrame, operation: str) -> list[Exchanges]:
    """What an operation got in all, one for each capability, from a campaign's ``harvest`` table
    (`experiments.campaign.campaign_result.CampaignResult`).

    Raises:
        ConfigError: an operation that is not in the table; a plan that differs between the rows of a capability.
    """
    found = []
    for capability, planned, rows in _by_capability(harvest, operation):
        found.append(Exchanges(capability, planned, *(float(rows[name].sum()) for name in GOT)))
    return found


def over_time(
    link: CapabilityLink, curves: Curves, harvest: pl.DataFrame, operation: str, epoch_hours: float
) -> pl.DataFrame:
    """Transfer that the harvest so far would give, after every epoch in which the operation did anything.

    Args:
        link: the mapping.
        curves: measured in the lab.
        harvest: a campaign's table.
        operation: whose harvest.
        epoch_hours: length of an epoch.

    Returns:
        Ascending by capability and day: ``capability``, ``day`` (the epoch's end, in days from the start), ``transfer``,
        ``low``, ``high`` (null where nothing was planned), ``extrapolated``, ``use`` (of `USES`), ``queries`` (of the lab).

    Raises:
        ConfigError: as `course` and `exchanges` do, or an epoch without length.
    """
    require(0 < epoch_hours < float("inf"), "epoch_hours", epoch_hours, "must be more than 0")
    tables = []
    for capability, planned, rows in _by_capability(harvest, operation):
        epochs = rows.group_by("epoch").agg(pl.col(*GOT).sum()).sort("epoch")
        so_far = [epochs[name].cast(pl.Float64).cum_sum().to_numpy() for name in GOT]
        found = course(link, curves, capability, planned, *so_far)
        names = np.array(list(USES), object)
        tables.append(
            pl.DataFrame(
                {
                    "capability": [capability] * epochs.height,
                    "day": (epochs["epoch"].to_numpy().astype(np.float64) + 1) * epoch_hours / 24,
                    **{n: getattr(found, m) for n, m in (("transfer", "value"), ("low", "low"), ("high", "high"))},
                    "extrapolated": found.extrapolated,
                    "use": names[found.use].tolist(),
                    "queries": found.queries,
                }
            ).with_columns(pl.col("transfer", "low", "high", "queries").fill_nan(None))
        )
    return pl.concat(tables)


def _by_capability(harvest: pl.DataFrame, operation: str) -> list[tuple[str, float, pl.DataFrame]]:
    """Name, plan and rows of each capability that the operation has, by name."""
    rows = harvest.filter(pl.col("operation") == operation)
    if rows.is_empty():
        raise ConfigError("operation", operation, "has no row in the harvest", harvest["operation"].unique().to_list())
    found = []
    for (capability,), part in rows.sort("capability").group_by("capability", maintain_order=True):
        plans = part["planned"].unique().to_list()
        require(len(plans) == 1, f"{capability}.planned", plans, f"must be one number for {operation}")
        found.append((str(capability), float(plans[0]), part))
    return found
