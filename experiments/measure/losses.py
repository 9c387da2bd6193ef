"""What defended cells lose of the transfer of the undefended attack, judged together."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.measure.summary import Summary
from experiments.measure.verdict import HolmVerdict, verdicts


def loss_verdicts(summaries: Sequence[Summary]) -> dict[tuple[int, str], HolmVerdict]:
    """What every defended cell loses of the undefended transfer, by (index of summary, family), corrected over all cells and
    families of the report."""
    keys = [(i, f) for i, s in enumerate(summaries) if s.names for f in s.families]
    found = verdicts([summaries[i].headline_estimate("transfer_lost", family) for i, family in keys])
    return dict(zip(keys, found, strict=True))
