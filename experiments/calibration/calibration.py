"""One calibration: which strength of a cell's defense costs honest users a given drop, or puts what is sold at a given L1
distance from the truth, as far as the store knows.

Nothing is kept of a search but its evaluations, which are stages: going over them again finds how far it is, and a search
for another drop shares what it has in common. A calibration belongs to task, teacher, interface, prices, honest population
and the provider's proxy; neither the attack nor the cell's seed matters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import polars as pl

from configs.build import class_of
from configs.errors import ConfigError, MoatBenchError
from defenses.base import Defense
from defenses.strength import UNDECLARED, Strength
from experiments.calibration.search import Probe, Search
from experiments.cell import Cell
from experiments.cell_from import cell_from
from experiments.compose.asked import Asked, Unit, with_value
from experiments.compose.interning import Interning
from experiments.measure.panel import ALL
from experiments.stages.distance import DistanceStage
from experiments.stages.drop import DropStage
from experiments.store.store import Store

SEEDS = (0, 1, 2)
"""Seeds that a calibration is the mean of where none are named; those of the cells that use it do not matter."""


class UnreachedError(MoatBenchError):
    """The cost is less than was asked for at every strength."""


@dataclass(frozen=True)
class Calibration:
    """A search for one drop or distance.

    Args:
        cell: with the defense at its strongest.
        asked: which field, and what it should come to.
        family: whose accuracy drops, or all users.
        seeds: it is the mean over these.
    """

    cell: Cell
    asked: Asked
    family: str = ALL
    seeds: tuple[int, ...] = SEEDS

    @property
    def strength(self) -> Strength:
        """The field and its range."""
        return _strength(type(self._defense), self.asked)

    @cached_property
    def search(self) -> Search:
        """What to try."""
        whole = isinstance(getattr(self._defense, self.strength.field), int)
        return Search(self.strength, whole, self.asked.target)

    @cached_property
    def key(self) -> tuple[str, float, str]:
        """Equal for calibrations that find the same strength."""
        return self._measured(self.cell).key, self.asked.target, self.family

    def stage(self, value: float) -> DropStage | DistanceStage:
        """What measures the cost at a strength; raises `ConfigError` where the defense cannot have it."""
        try:
            changed: Defense = replace(cast("Any", self._defense), **{self.strength.field: value})
        except ConfigError as error:
            raise _when_tried(error, self.asked, value) from error
        defenses = {**self.cell.offer.defenses, self.asked.defense: changed}
        return self._measured(replace(self.cell, offer=replace(self.cell.offer, defenses=defenses)))

    def path(self, store: Store) -> tuple[list[Probe], float | None]:
        """The evaluations that are stored, as far as the search gets with them, and the strength it needs next."""
        path: list[Probe] = []
        while (value := self.search.next(path)) is not None:
            entry = store.get(self.stage(value))
            if entry is None:
                return path, value
            unit = self.asked.unit
            row = entry.table(unit).row(by_predicate=pl.col("family") == self.family, named=True)
            path.append(Probe(value, float(row[unit]), float(row["error"])))
        return path, None

    def found(self, path: Sequence[Probe]) -> Probe:
        """What a finished search found.

        Raises:
            UnreachedError: the strongest costs too little.
        """
        if self.search.reached(path):
            return self.search.nearest(path)
        most = max(path, key=lambda point: point.cost)
        a, b = self.strength.harmless, self.strength.strongest
        wanted = {
            "drop": f"costs honest users {100 * self.asked.target:g} points",
            "l1": f"puts what is sold {self.asked.target:g} from the truth",
        }[self.asked.unit]
        what = {"drop": "drop", "l1": "L1 distance"}[self.asked.unit]
        raise UnreachedError(
            f"{self.asked.place}: no strength within [{a:g}, {b:g}] {wanted}{self._whose}; the largest {what} found is "
            f"{spelt(most, self.asked.unit)}"
        )

    def said(self, point: Probe) -> str:
        """The result in a line."""
        seeds = f"seed{'s' if len(self.seeds) > 1 else ''} {', '.join(map(str, self.seeds))}"
        far = abs(point.cost - self.asked.target) > max(2 * point.error, point.tolerance)
        found = f"{self.asked.place}={point.strength:g}"
        if self.asked.unit == "drop":
            told = (
                f"{found} drops honest accuracy{self._whose} by {spelt(point, 'drop')} ({seeds}; "
                f"{self.cell.measure.heldout} provider items a family; target {100 * self.asked.target:g})"
            )
        else:
            told = (
                f"{found} sells probabilities at an L1 distance of {spelt(point, 'l1')} from the truth{self._whose} "
                f"({seeds}; target {self.asked.target:g})"
            )
        return told + ("; no strength nearer to the target was found" if far else "")

    def _measured(self, cell: Cell) -> DropStage | DistanceStage:
        return cell.drop_stage(self.seeds) if self.asked.unit == "drop" else cell.distance_stage(self.seeds)

    @property
    def _defense(self) -> Defense:
        return self.cell.offer.defenses[self.asked.defense]

    @property
    def _whose(self) -> str:
        return "" if self.family == ALL else f" in {self.family}"


def spelt(point: Probe, unit: Unit) -> str:
    """A cost with its standard error: ``5.1 ± 0.6 points``, ``0.503 ± 0.004``."""
    if unit == "drop":
        return f"{100 * point.cost:.1f} ± {100 * point.error:.1f} points"
    return f"{point.cost:.3f} ± {point.error:.3f}"


def calibration_of(
    plain: Mapping[str, Any],
    asked: Asked,
    family: str = ALL,
    seeds: tuple[int, ...] = SEEDS,
    interning: Interning | None = None,
) -> Calibration:
    """The calibration that a resolved configuration asks for.

    Raises:
        ConfigError: the field is not the defense's strength, the task has no such family, or the parts do not fit.
    """
    kind = class_of(plain["defense"][asked.defense], Defense, f"defense.{asked.defense}")
    strength = _strength(kind, asked)
    try:
        cell = cell_from(with_value(plain, asked.defense, strength.field, strength.strongest), interning)
    except ConfigError as error:
        if not error.field.startswith(f"defense.{asked.defense}."):
            raise
        raise _when_tried(error, asked, strength.strongest) from error
    if family not in (ALL, *cell.task.families):
        raise ConfigError("family", family, f"is not a family of task {cell.task.name}", (ALL, *cell.task.families))
    return Calibration(cell, asked, family, seeds)


def _when_tried(error: ConfigError, asked: Asked, value: float) -> ConfigError:
    """What a defense says of a strength that the user did not choose."""
    field = f"defense.{asked.defense}.{error.field.rpartition('.')[2]}"
    return ConfigError(field, error.value, f"{error.reason} (calibration tries {asked.field} = {value:g})")


def _strength(kind: type[Defense], asked: Asked) -> Strength:
    if kind.strength is None:
        raise ConfigError(f"defense.{asked.defense}", kind.name, f"{UNDECLARED} to calibrate")
    if kind.strength.field != asked.field:
        reason = f"cannot be calibrated: the strength of {kind.name} is {kind.strength.field}"
        raise ConfigError(asked.place, asked.written, reason)
    return kind.strength


def the_strength(plain: Mapping[str, Any], target: float, unit: Unit = "drop") -> Asked:
    """The one strength of a configuration's defenses, to be calibrated to a drop or a distance.

    Raises:
        ConfigError: there is none, or more than one.
    """
    kinds = {name: class_of(part, Defense, f"defense.{name}") for name, part in (plain.get("defense") or {}).items()}
    found = [
        Asked(name, kind.strength.field, target, unit) for name, kind in kinds.items() if kind.strength is not None
    ]
    if not found:
        why, which = (UNDECLARED, "another") if kinds else ("has no strength", "one")
        reason = f"{why} to calibrate: choose {which} with defense=NAME"
        raise ConfigError("defense", "+".join(kinds) or "none", reason)
    if len(found) > 1:
        meant = " or ".join(f"{one.place}={one.written}" for one in found)
        raise ConfigError("defense", list(kinds), f"has several strengths: instead of {unit}= write {meant}")
    return found[0]
