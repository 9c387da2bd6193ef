"""Which cells stand in a row of a paper's table, and in which order. Knows nothing of columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from configs.errors import ConfigError, MoatBenchError
from experiments.measure.panel import ALL
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.grouping import axis_text, varying_axes
from experiments.report.matched_table import curve_name
from experiments.report.names import family_order
from experiments.report.paper.table_spec import TableSpec

Axes = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class PaperRow:
    """One row.

    Args:
        name: of the defense, without its strength; "" where rows are not of defenses.
        defense: its label; of a curve its name.
        attack: "" where rows are not of attacks.
        family: the same.
        axes: of the threat model on which rows differ, with this row's values.
        cells: that it is made of.
    """

    name: str
    defense: str
    attack: str
    family: str
    axes: Axes
    cells: tuple[Summary, ...] = ()


def name_of(summary: Summary) -> str:
    """Of a defense or a stack, without its strength; ``none`` for the undefended API."""
    return "+".join(summary.names) or "none"


def attack_name(summary: Summary) -> str:
    """As it is typed."""
    return str(summary.configuration.get("attack") or summary.attack)


def chosen_cells(summaries: Sequence[Summary], spec: TableSpec) -> list[Summary]:
    """The cells that a table is about, in the order of its defenses and attacks.

    Raises:
        ConfigError: a defense, an attack or a subject that none of the cells has, or a strength that leaves none.
    """
    found = list(summaries)
    for field, wanted, own in (("defenses", spec.defenses, name_of), ("attacks", spec.attacks, attack_name)):
        known = list(dict.fromkeys(own(s) for s in found))
        for name in wanted:
            if name not in known:
                raise ConfigError(f"table.{field}", name, "is in none of the stored cells", known)
        if wanted:
            found = sorted((s for s in found if own(s) in wanted), key=lambda s: wanted.index(own(s)))
    if spec.subject and spec.subject not in (known := sorted({name_of(s) for s in found})):
        raise ConfigError("table.subject", spec.subject, "is in none of the stored cells", known)
    found = _at_strength(found, spec)
    if not found:
        raise MoatBenchError("the table has no rows: no defense costs honest users as little as table.limit")
    return found


def paper_rows(cells: Sequence[Summary], spec: TableSpec) -> list[PaperRow]:
    """Rows, the reference first, the subject last.

    Raises:
        ConfigError: a family that none of the cells has.
    """
    axes = varying_axes(cells)
    families = families_of(cells, spec) if "family" in spec.rows else [""]
    groups: dict[PaperRow, list[Summary]] = {}
    for s in cells:
        label = (curve_name(s) or "none") if spec.strength == "curve" else s.defense
        name, defense = (name_of(s), label) if "defense" in spec.rows else ("", "")
        attack = s.attack if "attack" in spec.rows else ""
        where = tuple((axis, axis_text(s.configuration.get(axis))) for axis in axes)
        for family in families:
            groups.setdefault(PaperRow(name, defense, attack, family, where), []).append(s)
    first: dict[str, dict[object, int]] = {row: {} for row in (*spec.rows, "axes")}
    for key in groups:
        for part, places in first.items():
            places.setdefault(getattr(key, part), len(places))
    parts = ("axes", *spec.rows)
    rows = sorted(groups, key=lambda key: [first[part][getattr(key, part)] for part in parts])
    own, reference = bool(spec.subject), spec.reference
    rows.sort(
        key=lambda row: (row.axes and first["axes"][row.axes], own and row.name == spec.subject, row.name != reference)
    )
    return [replace(row, cells=tuple(groups[row])) for row in rows]


def families_of(cells: Sequence[Summary], spec: TableSpec) -> list[str]:
    """Families to show, all of them together last.

    Raises:
        ConfigError: one that none of the cells has.
    """
    known = [f for f in family_order(sorted(set(chain.from_iterable(s.families for s in cells)))) if f != POOLED]
    for family in spec.families:
        if family not in (*known, POOLED):
            raise ConfigError("table.families", family, "is in none of the stored cells", (*known, POOLED))
    return list(spec.families) or ([*known, POOLED] if len(known) > 1 else known)


def _at_strength(cells: Sequence[Summary], spec: TableSpec) -> list[Summary]:
    if spec.strength in ("all", "curve"):
        return list(cells)
    settings: dict[tuple[object, ...], dict[str, list[Summary]]] = {}
    for s in cells:
        settings.setdefault((s.threat, curve_name(s)), {}).setdefault(s.defense, []).append(s)
    keep: set[int] = set()
    for by_label in settings.values():
        drops = {label: _drop(own) for label, own in by_label.items()}
        allowed = [x for x, drop in drops.items() if spec.strength == "dearest" or drop <= spec.limit]
        if allowed:
            keep |= {id(s) for s in by_label[max(allowed, key=lambda label: drops[label])]}
    return [s for s in cells if id(s) in keep]


def _drop(cells: Sequence[Summary]) -> float:
    """Of honest accuracy, mean over the cells of a setting; 0 where it was not measured."""
    points = [q.point for s in cells if (q := s.quantity("honest_drop", ALL, "", "strict")).known]
    return sum(points) / len(points) if points else 0.0
