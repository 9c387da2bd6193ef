"""How a kept table was made, in one sentence: dates, revision, seeds, packages, machine, time. For the head of a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.errors import MoatBenchError
from configs.text import one_line
from experiments.campaign.campaign_stage import CampaignStage
from experiments.stages.row import RowStage, resolved_of
from experiments.store.entry import Entry
from experiments.store.layout import Ref
from experiments.store.maintenance.inventory import manifest_of
from experiments.store.maintenance.kept import Kept
from experiments.store.maintenance.reach import reach
from experiments.store.store import Store

LOCK = Path(__file__).resolve().parents[2] / "requirements" / "lock.txt"
TOLD = ("torch", "transformers", "numpy")
"""Packages that are named."""


def made(store: Store, table: Kept) -> str:
    """The sentence.

    Args:
        store: that holds the table's rows.
        table: which.

    Raises:
        MoatBenchError: a row is not stored, or holds something else than a row or a claim's measurement.
    """
    rows = [store.entry(ref) for ref in table.rows]
    stored = [row for row in rows if row is not None]
    if not stored or len(stored) < len(rows):
        raise MoatBenchError(f"{len(rows) - len(stored)} of the {len(rows)} rows of {table.name} are not stored")
    return made_of(store.root, table.rows, len({str(_seed(row)) for row in stored}))


def made_of(root: Path, rows: Iterable[Ref], seeds: int) -> str:
    """The same of any rows.

    Args:
        root: of the store that holds them.
        rows: one at least.
        seeds: how many different ones they have.
    """
    reached = (manifest_of(root, ref) for ref in sorted(reach(root, rows)))
    manifests = [manifest for manifest in reached if manifest is not None]
    parts = [
        _days(m["written"] for m in manifests),
        f"revision {_revisions(manifests)}",
        f"{seeds} seed{'' if seeds == 1 else 's'}",
        _packages(manifests),
        *_each(map(_machine, manifests)),
        f"{len(manifests):,} stored results took {_lasting(sum(m['seconds'] for m in manifests))} in all",
    ]
    return one_line("; ".join(parts))


def _seed(entry: Entry) -> Any:
    """Of a row, a campaign, or what a claim measured in a row's place."""
    whole = entry.manifest["stage"] in (RowStage.name, CampaignStage.name)
    return (resolved_of(entry) if whole else entry.manifest["config"]).get("seed")


def _days(written: Iterable[str]) -> str:
    days = sorted({when[:10] for when in written})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


def _revisions(manifests: Sequence[Mapping[str, Any]]) -> str:
    """Short names; a source with changes that were not committed has a +."""
    return " and ".join(_each(str(m.get("git") or "unknown")[:7] + "+" * bool(m.get("dirty")) for m in manifests))


def _packages(manifests: Sequence[Mapping[str, Any]]) -> str:
    """Versions, and whether they are those of the lock."""
    told_of = [m.get("packages") for m in manifests]  # asked of no manifest, so it may be anything
    every = [{str(n): str(v) for n, v in found.items()} if isinstance(found, dict) else {} for found in told_of]
    locked = _locked()
    readable = all(found is None or isinstance(found, dict) for found in told_of)
    same = (
        readable
        and bool(locked)
        and all(locked.get(n, v) == v.partition("+")[0] for each in every for n, v in each.items())
    )
    told = ", ".join(f"{name} {' and '.join(_each(p[name] for p in every if name in p))}" for name in TOLD)
    python = " and ".join(_each(str(m.get("python")) for m in manifests))
    return f"{'packages of requirements/lock.txt' if same else 'packages not as locked'} ({told}, Python {python})"


def _locked() -> dict[str, str]:
    if not LOCK.is_file():
        return {}
    lines = (line.partition(";")[0].strip() for line in LOCK.read_text().splitlines() if "==" in line)
    return dict(line.split("==", 1) for line in lines if not line.startswith("#"))


def _machine(manifest: Mapping[str, Any]) -> str:
    cpu = f"{manifest.get('cores')} cores of {manifest.get('cpu')}"
    return f"{cpu}, {manifest['gpu']}" if manifest.get("gpu") else cpu


def _lasting(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if minutes > 1 else f"{seconds:.0f} s"


def _each(values: Iterable[str]) -> list[str]:
    return sorted(set(values))
