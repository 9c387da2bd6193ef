"""What stands in a row and a column of a paper's table: which cell, or which place of a curve, and its number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from configs.errors import ConfigError
from experiments.measure.estimate import Estimate, estimates
from experiments.measure.matched import at_drop, curve
from experiments.measure.quantity import MISSING, Quantity, blank, shared_seeds
from experiments.measure.summary import Summary
from experiments.measure.transfer import POOLED
from experiments.report.catalogue import CATALOGUE, Better, TableMeasure
from experiments.report.frontier_table import CALIBRATED
from experiments.report.matched_table import points_of_curve
from experiments.report.names import family_name
from experiments.report.paper.paper_rows import PaperRow, attack_name, families_of
from experiments.report.paper.table_spec import CHOSEN_BY_RESULT, DISTILLED, REFINED, SpecColumn, TableSpec

NONE = Estimate(None, reason=MISSING)


@dataclass(frozen=True)
class PlacedColumn:
    """A column as it is printed: of several by family or attack, one.

    Args:
        column: as the file says.
        family: whose items; "" for the row's.
        attack: its name, or how it is chosen; "" for the row's.
        spread: whether there are others of the same column.
    """

    column: SpecColumn
    family: str
    attack: str
    spread: bool = False

    @property
    def shown(self) -> TableMeasure:
        """What it shows."""
        return CATALOGUE[self.column.measure]

    @property
    def better(self) -> Better:
        """Which way is good."""
        return self.column.better or self.shown.better


def require_named(cells: Sequence[Summary], spec: TableSpec) -> None:
    """Refuse columns of an attack or a family that no cell has.

    Raises:
        ConfigError: the field, the name and the choices.
    """
    attacks = list(dict.fromkeys(attack_name(s) for s in cells))
    labels = {s.attack for s in cells}
    for field, name in (("attack", spec.attack), *(("columns.attack", c.attack) for c in spec.columns)):
        if name and name not in CHOSEN_BY_RESULT and name not in attacks and name not in labels:
            raise ConfigError(f"table.{field}", name, "is in none of the stored cells", [*attacks, *CHOSEN_BY_RESULT])
    families = list(dict.fromkeys(f for s in cells for f in s.families))
    for column in spec.columns:
        if column.family and column.family not in (POOLED, *families):
            called = ", ".join(
                f"{family} is {family_name(family)}" for family in families if family != family_name(family)
            )
            reason = "is no family of the stored cells" + (f" ({called})" if called else "")
            raise ConfigError("table.columns.family", column.family, reason, families)


def places(cells: Sequence[Summary], spec: TableSpec) -> list[PlacedColumn]:
    """The columns, those by family or attack spread out."""
    found = []
    for column in spec.columns:
        attack = "" if "attack" in spec.rows else column.attack or spec.attack
        family = "" if "family" in spec.rows else column.family
        if column.by == "family":
            found += [PlacedColumn(column, f, attack, True) for f in families_of(cells, spec)]
        elif column.by == "attack":
            found += [PlacedColumn(column, family, a, True) for a in dict.fromkeys(s.attack for s in cells)]
        else:
            found.append(PlacedColumn(column, family, attack))
    return found


def cell_at(row: PaperRow, place: PlacedColumn, spec: TableSpec) -> Summary | None:
    """The one cell whose number stands there; None where there is none.

    Raises:
        ConfigError: several cells would do, and the table does not say which.
    """
    own = [s for s in row.cells if place.attack in CHOSEN_BY_RESULT or place.attack in ("", attack_name(s), s.attack)]
    if place.attack == DISTILLED:
        own = [s for s in own if not s.configuration.get("refine")]
    if place.attack == REFINED:
        own = [s for s in own if s.configuration.get("refine")]
    if place.column.drop is not None and row.name != spec.reference:
        own = [s for s in own if s.configuration.get(CALIBRATED["drop"]) == place.column.drop]
    if not own:
        return None
    if place.attack in CHOSEN_BY_RESULT:
        known = [s for s in own if s.headline("transfer", POOLED).known]
        return max(known, key=lambda s: s.headline("transfer", POOLED).point, default=None)
    attacks = list(dict.fromkeys(s.attack for s in own))
    if len(attacks) > 1 and place.shown.by_attack:
        reason = "is to be said, since the rows have several: one of these, worst, distilled or refined"
        raise ConfigError("table.attack", place.attack, reason, attacks)
    settings = list(dict.fromkeys(s.defense for s in own))
    if len(settings) > 1:
        raise ConfigError("table.rows", list(spec.rows), f"puts several defenses into one row: {', '.join(settings)}")
    return own[0]


def numbers(rows: Sequence[PaperRow], place: PlacedColumn, spec: TableSpec) -> list[tuple[Quantity, Estimate, str]]:
    """A column: of each row its number seed by seed, what to print, and the attack that it is under.

    Raises:
        ConfigError: see `cell_at`.
    """
    found: list[tuple[Quantity, Estimate, str]] = []
    for row in rows:
        cell = cell_at(row, place, spec)
        family = place.family or row.family or POOLED
        if cell is None:
            found.append((blank(MISSING), NONE, ""))
        else:
            shown = place.shown
            found.append((shown.quantity(cell, family), shown.estimate(cell, family), attack_name(cell)))
    if spec.strength == "curve" and place.column.drop is not None and place.column.measure == "student":
        read = _read(rows, place, spec)
        for i, (quantity, estimate) in read.items():
            found[i] = (quantity, estimate, place.attack)
    return found


def _read(rows: Sequence[PaperRow], place: PlacedColumn, spec: TableSpec) -> dict[int, tuple[Quantity, Estimate]]:
    """The rows whose defense has a curve, with the student where it costs so much (`experiments.measure.matched`)."""
    curves: dict[int, list[Summary]] = {}
    for i, row in enumerate(rows):
        own = [s for s in row.cells if place.attack in ("", attack_name(s), s.attack)]
        attacks = list(dict.fromkeys(s.attack for s in own))
        if len(attacks) > 1:
            raise ConfigError("table.attack", place.attack, "is to be one attack, where curves are compared", attacks)
        strong = [s for s in own if s.configuration.get("strength") is not None]
        if strong and row.name != spec.reference:
            curves[i] = strong
    cells = [s for own in curves.values() for s in own]
    if not cells:
        return {}
    assert place.column.drop is not None
    family = {i: place.family or rows[i].family or POOLED for i in curves}
    read = {}
    students = []
    for i, own in curves.items():
        undefended = next((q for s in own if (q := s.headline("S_undef", family[i])).known), None)
        points = [(d, a) for d, a in points_of_curve(own, family[i]) if d.known and a.known]
        if undefended is None or not points:
            read[i] = blank(MISSING)
            continue
        seeds = shared_seeds([undefended, *(q for pair in points for q in pair)])
        line = curve(undefended.on(seeds), [(d.on(seeds), a.on(seeds)) for d, a in points]) if seeds else None
        read[i] = at_drop(line, place.column.drop).value
        students += [a.on(seeds) for _, a in points] if seeds else []
    told = estimates(list(read.values()), students)
    return {i: (q, e) for (i, q), e in zip(read.items(), told, strict=True)}
