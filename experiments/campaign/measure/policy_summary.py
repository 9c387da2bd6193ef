"""All measures of a campaign, and of the seeds of a policy together: mean and range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from configs.errors import ConfigError, require
from experiments.campaign.campaign_result import CampaignResult
from experiments.campaign.measure.containment import containment
from experiments.campaign.measure.detection import by_kind, detection
from experiments.campaign.measure.found_groups import groups
from experiments.campaign.measure.harm import by_provider, harm
from experiments.campaign.measure.harvested import harvest
from experiments.campaign.measure.key import BLANK, Key, Measured, checked
from experiments.campaign.measure.reviewing import reviewing
from experiments.campaign.measure.thresholds import thresholds
from experiments.measure.estimate import Estimate


class TransferRecord(NamedTuple):
    """How much of a capability the harvest of one campaign moves to a student.

    Args:
        capability: of the campaign.
        family: of the laboratory's tasks that stands for it.
        transfer: share of the teacher's lead, with its interval.
        extrapolated: whether the harvest lies outside of what was measured in the laboratory.
        use: what the attacker trains on.
    """

    capability: str
    family: str
    transfer: Estimate
    extrapolated: bool
    use: str


@dataclass(frozen=True)
class PolicySummary:
    """One policy over its seeds.

    Args:
        policy: its name.
        seeds: sorted.
        measured: with one seed as measured; with several the mean, and the range in place of the interval.
        transfer: by capability, in the order given; with several seeds mean and envelope of the intervals.
        results: of each seed, in the order of ``seeds``.
        by_seed: what was measured of each.
        transfer_by_seed: what was given of each.
    """

    policy: str
    seeds: tuple[int, ...]
    measured: Measured
    transfer: tuple[TransferRecord, ...]
    results: tuple[CampaignResult, ...]
    by_seed: tuple[Measured, ...]
    transfer_by_seed: tuple[tuple[TransferRecord, ...], ...]

    def of(self, measure: str, part: str = "", of: str = "") -> Estimate:
        """One number; blank where it was not measured."""
        return self.measured.get(Key(measure, part, of), BLANK)

    def names(self, part: str) -> list[str]:
        """What there are numbers of: detectors, kinds, operations, …"""
        return list(dict.fromkeys(key.of for key in self.measured if key.part == part))


def measures(result: CampaignResult) -> dict[Key, Estimate]:
    """Everything measured of one campaign.

    Raises:
        ConfigError: a table lacks a column.
    """
    result = checked(result)
    parts = (harvest, containment, harm, detection, thresholds, by_kind, groups, reviewing, by_provider)
    return {key: estimate for part in parts for key, estimate in part(result).items()}


def summarise(
    results: Sequence[CampaignResult], transfer: Mapping[tuple[str, int], Sequence[TransferRecord]]
) -> list[PolicySummary]:
    """One summary per policy, in the order in which policies first occur.

    Args:
        results: of one preset, each policy and seed once.
        transfer: by policy and seed; may lack some.

    Raises:
        ConfigError: no results, several presets, a policy and seed twice, or transfer of a campaign that is not there.
    """
    require(bool(results), "campaign.results", [], "must hold at least one campaign")
    presets = sorted({r.preset for r in results})
    require(len(presets) == 1, "campaign.preset", presets, "must be the same in all results of a report")
    found: dict[tuple[str, int], CampaignResult] = {}
    for result in results:
        require(
            (result.policy, result.seed) not in found, "campaign.seed", result.seed, f"{result.policy} has it twice"
        )
        found[result.policy, result.seed] = checked(result)
    for given in transfer:
        if given not in found:
            raise ConfigError("campaign.transfer", given, "there is no such policy and seed", sorted(map(str, found)))
    policies = dict.fromkeys(result.policy for result in results)
    return [_summary(policy, {s: r for (p, s), r in found.items() if p == policy}, transfer) for policy in policies]


def over_seeds(measured: Sequence[Measured]) -> dict[Key, Estimate]:
    """Mean and range of each number over the seeds that have it; a single seed's numbers as they are."""
    if len(measured) == 1:
        return dict(measured[0])
    keys = dict.fromkeys(key for one in measured for key in one)
    return {key: _mean_and_range([one.get(key, BLANK) for one in measured]) for key in keys}


def _mean_and_range(seeds: Sequence[Estimate]) -> Estimate:
    values = [e.value for e in seeds if e.value is not None]
    if not values:
        return Estimate(None, reason=seeds[0].reason)
    reason = "" if len(values) == len(seeds) else f"measured with {len(values)} of {len(seeds)} seeds"
    if len(values) == 1:
        return Estimate(values[0], reason=reason)
    return Estimate(float(np.mean(values)), min(values), max(values), reason)


def _summary(
    policy: str,
    seeds: Mapping[int, CampaignResult],
    transfer: Mapping[tuple[str, int], Sequence[TransferRecord]],
) -> PolicySummary:
    order = tuple(sorted(seeds))
    by_seed = tuple(measures(seeds[seed]) for seed in order)
    given = tuple(tuple(transfer.get((policy, seed), ())) for seed in order)
    records: dict[str, list[TransferRecord]] = {}
    for record in (record for own in given for record in own):
        records.setdefault(record.capability, []).append(record)
    joined = tuple(_joined(own) for own in records.values())
    kept = tuple(seeds[seed] for seed in order)
    return PolicySummary(policy, order, over_seeds(by_seed), joined, kept, by_seed, given)


def _joined(records: Sequence[TransferRecord]) -> TransferRecord:
    """One capability over seeds: the mean; from the lowest to the highest limit of any seed."""
    if len(records) == 1:
        return records[0]
    joined = _mean_and_range([r.transfer for r in records])
    lows = [x for r in records for x in (r.transfer.low, r.transfer.value) if x is not None]
    highs = [x for r in records for x in (r.transfer.high, r.transfer.value) if x is not None]
    if joined.value is not None:
        joined = joined._replace(low=min(lows), high=max(highs))
    uses = " or ".join(dict.fromkeys(r.use for r in records))
    return records[0]._replace(transfer=joined, extrapolated=any(r.extrapolated for r in records), use=uses)
