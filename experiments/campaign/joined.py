"""Campaigns joined to what the lab measured: the report of a command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.campaign.campaign_result import CampaignResult
from experiments.campaign.campaign_stage import result_of
from experiments.campaign.curves.choice import curves_of
from experiments.campaign.curves.fitted import Curves
from experiments.campaign.curves.learnt import Exchanges, exchanges, moved
from experiments.campaign.curves.link import CapabilityLink
from experiments.campaign.from_config import link_from
from experiments.campaign.measure.policy_summary import TransferRecord
from experiments.campaign.report.told_apart import told_apart
from experiments.campaign.report.write import CampaignReport, write_campaign_report
from experiments.campaign.world.indicator_exchange import bundles
from experiments.store.maintenance.lineage import Lineages

if TYPE_CHECKING:
    from experiments.store.entry import Entry

MOST_BUNDLES = 10
"""Clusters that are written as STIX; the table of all indicators is in the store."""


def report(
    entries: Sequence[Entry], plain: Mapping[str, Any], folder: Path, name: str, made: str = ""
) -> CampaignReport:
    """Write the report of stored campaigns.

    Args:
        entries: of `CampaignStage`.
        plain: a resolved configuration, whose ``link`` and ``curves`` say how their harvest is read.
        folder: where to.
        name: stem of the files.
        made: how they were made, a sentence for the page; "" says nothing.
    """
    lineages = [Lineages(entry.path.parent.parent) for entry in entries[:1]]
    results = told_apart([result_of(entry, *lineages) for entry in entries])
    link, curves = link_from(plain), curves_of(str(plain["curves"]))
    transfer = {(r.policy, r.seed): records(r, link, curves) for r in results if r.harvest.height}
    note = _in_words(link, curves, [record for found in transfer.values() for record in found])
    written = write_campaign_report(results, transfer, note, folder, name, made)
    stix = _indicators(entries, folder / f"{name}_indicators.stix.jsonl")
    return replace(written, files={**written.files, **stix})


def _in_words(link: CapabilityLink, curves: Curves, read: Sequence[TransferRecord]) -> str:
    """The mapping behind all transfers of a report, once."""
    if not read:
        return ""
    families = dict(sorted((record.capability.replace("_", " "), record.family) for record in read))
    listed = ", ".join(f"{capability} off {family!r}" for capability, family in families.items())
    if link.kind == "share":
        budget = link.lab_queries or curves.largest
        scale = f"the share of the planned exchanges that got through stands for that share of {budget:,} lab queries"
    else:
        scale = f"one exchange stands for {link.ratio:g} lab queries"
    return (
        f"Transfer is read off curves measured in the lab's mini world ({listed}): {scale}. This mapping is an assumption, "
        "not a measurement of language models."
    )


def _indicators(entries: Sequence[Entry], path: Path) -> dict[str, Path]:
    """Write what providers told each other under the first policy that shares."""
    for entry in entries:
        sharing, table = entry.meta["config"]["policy"]["sharing"], entry.table("indicators")
        if sharing is not None and table.height:
            path.write_text(bundles(table, float(sharing["lifetime_days"]), MOST_BUNDLES), encoding="utf-8")
            return {"indicators": path}
    return {}


def records(result: CampaignResult, link: CapabilityLink, curves: Curves) -> list[TransferRecord]:
    """What the harvest of one campaign moves, by capability, over all operations together."""
    got: dict[str, Exchanges] = {}
    for operation in result.harvest["operation"].unique(maintain_order=True):
        for part in exchanges(result.harvest, operation):
            before = got.get(part.capability, Exchanges(part.capability, 0.0, 0.0))
            sums = [a + b for a, b in zip(before[1:], part[1:], strict=True)]
            got[part.capability] = Exchanges(part.capability, *sums)
    found = moved(link, curves, [_within_plan(part) for _, part in sorted(got.items())])
    return [TransferRecord(m.capability, m.family, m.transfer, m.extrapolated, m.use) for m in found]


def _within_plan(got: Exchanges) -> Exchanges:
    """Without the few that chance gave one capability over its share of the plan."""
    answered = got.usable + got.hidden + got.altered
    keep = min(1.0, got.planned / answered) if answered else 1.0
    return got._replace(usable=got.usable * keep, hidden=got.hidden * keep, altered=got.altered * keep)
