"""Removes entries that no kept table was made from. What is held, or was of use a short while ago, stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.store.layout import LOCKS, Ref, remove
from experiments.store.lease import Busy, held
from experiments.store.maintenance.inventory import Holding, item, items
from experiments.store.maintenance.kept import Kept
from experiments.store.maintenance.reach import reach

if TYPE_CHECKING:
    from experiments.store.store import Store

GRACE = 3600.0
"""Seconds for which an entry stays after it was last of use: a sweep that runs has looked at what it builds on."""


@dataclass(frozen=True)
class Plan:
    """What there is to collect.

    Args:
        reached: entries that the kept tables were made from.
        young: others that were of use a short while ago.
        busy: others that a running process holds.
        rest: what can go.
    """

    reached: Sequence[Holding]
    young: Sequence[Holding]
    busy: Sequence[Holding]
    rest: Sequence[Holding]


def plan(root: Path, tables: Sequence[Kept], grace: float = GRACE) -> Plan:
    """Sort all entries.

    Args:
        root: of the store.
        tables: whose entries stay.
        grace: seconds for which others stay after they were last of use.
    """
    wanted = reached_by(root, tables)
    sorts: tuple[list[Holding], ...] = ([], [], [], [])
    for one in items(root):
        where = 0 if one.ref in wanted else 1 if one.age < grace else 2 if held(_lease(root, one.ref)) else 3
        sorts[where].append(one)
    return Plan(*sorts)


def reached_by(root: Path, tables: Sequence[Kept]) -> set[Ref]:
    """Everything that tables were made from: what their records list, and what the manifests of that lead to."""
    return reach(root, {ref for table in tables for ref in (*table.rows, *table.entries)})


def carry_out(
    planned: Plan, store: Store, grace: float = GRACE, told: Callable[[Holding], None] = lambda _: None
) -> int:
    """Remove what can go, unless it is of use by now, and drafts of dead writers; bytes that were freed."""
    freed = 0
    for one in planned.rest:
        try:
            with store.alone(one.ref):
                now = item(store.root, one.ref)
                if now is None or (now.used > one.used and now.age < grace):
                    continue
                remove(one.path)
        except Busy:
            continue
        freed += one.size
        told(one)
    store.sweep()
    return freed


def _lease(root: Path, ref: Ref) -> Path:
    return root / LOCKS / f"{ref.stage}-{ref.key}.lease"
