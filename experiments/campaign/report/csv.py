"""Every measure of every policy as tidy CSV: one line per policy, seed and measure, in full precision."""

from __future__ import annotations

import io
from collections.abc import Sequence

from experiments.campaign.measure.key import Measured
from experiments.campaign.measure.policy_summary import PolicySummary, TransferRecord
from experiments.measure.estimate import Estimate
from experiments.report.cells import PlainWriter
from experiments.store.maintenance.lineage import COLUMNS as MADE
from experiments.store.maintenance.lineage import joined

COLUMNS = (
    "preset",
    "policy",
    "seed",
    "part",
    "of",
    "measure",
    "value",
    "low",
    "high",
    "reason",
    "family",
    "use",
    "extrapolated",
    *MADE,
)
ALL_SEEDS = "all"


def render(summaries: Sequence[PolicySummary]) -> str:
    """Comma-separated text with a header.

    ``low`` and ``high`` of a seed are its interval; of ``seed`` = `ALL_SEEDS`, the mean of several, they are the range
    (of transfer, the envelope of the seeds' intervals).
    """
    out = io.StringIO()
    writer = PlainWriter(out, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for s in summaries:
        origins = [result.lineage for result in s.results]
        of_seeds = [(str(seed), s.by_seed[i], s.transfer_by_seed[i], origins[i]) for i, seed in enumerate(s.seeds)]
        if len(s.seeds) > 1:
            of_seeds.append((ALL_SEEDS, s.measured, s.transfer, joined(origins)))
        for seed, measured, transfer, origin in of_seeds:
            head = {"preset": s.results[0].preset, "policy": s.policy, "seed": seed, **origin.told()}
            writer.writerows(head | row for row in _lines(measured, transfer))
    return out.getvalue()


def _lines(measured: Measured, transfer: Sequence[TransferRecord]) -> list[dict[str, str]]:
    lines = [
        {"part": key.part, "of": key.of, "measure": key.measure} | _numbers(estimate)
        for key, estimate in measured.items()
    ]
    lines += [
        {"part": "capability", "of": r.capability, "measure": "transfer", "family": r.family, "use": r.use}
        | {"extrapolated": "yes" if r.extrapolated else "no"}
        | _numbers(r.transfer)
        for r in transfer
    ]
    return lines


def _numbers(e: Estimate) -> dict[str, str]:
    """Twelve significant digits: more would differ with the order in which a machine adds."""
    limits = {"value": e.value, "low": e.low, "high": e.high}
    return {name: "" if x is None else f"{x:.12g}" for name, x in limits.items()} | {"reason": e.reason}
