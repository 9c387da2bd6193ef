"""What is searched for the strongest attack: every attack as its file has it, and with one of its parameters changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from configs.errors import ConfigError
from experiments.cell import Cell
from experiments.cell_from import cell_from
from experiments.compose.compose import Composed
from experiments.compose.interning import Interning

SEED = "seed="


@dataclass(frozen=True)
class Candidate:
    """One attack with its parameters, on one defense.

    Args:
        name: of the attack, with the parameter that differs from its file.
        composed: a cell of it, with any seed.
        adaptive: whether it answers to the defense.
        refines: whether something is done to the student after distillation.
    """

    name: str
    composed: Composed
    adaptive: bool
    refines: bool

    @property
    def league(self) -> tuple[bool, bool]:
        """What has to stay represented until the end: passive and adaptive, before and after refining."""
        return self.adaptive, self.refines

    def at(self, seed: int) -> Composed:
        """Its cell with this seed."""
        words = tuple(word for word in self.composed.overrides if not word.startswith(SEED))
        plain = {**self.composed.plain, "seed": seed}
        return replace(
            self.composed, plain=plain, overrides=(*words, f"{SEED}{seed}"), label=f"{self.name} {SEED}{seed}"
        )


def candidates(cells: Sequence[Composed], interning: Interning) -> tuple[list[Candidate], dict[str, str]]:
    """The candidates that these cells of one defense stand for, and why others are none.

    Parameters come from what parts declare (`attacks.base.Harvest.tunes`), one at a time: products of several would be many,
    and most parameters of an attack matter little beside which attack it is.

    Args:
        cells: one for each attack.
        interning: shares what cells have in common.

    Returns:
        candidates, each attack as its file has it first; by name, why one is left out: what it needs is not sold, or the
        budget does not allow it.
    """
    found: list[Candidate] = []
    left_out: dict[str, str] = {}
    for composed in cells:
        own = str(composed.plain["attack"]["name"])
        try:
            cell = cell_from(composed.plain, interning)
        except ConfigError as error:
            left_out[own] = str(error)
            continue
        found.append(_candidate(own, composed, cell))
        for place, value in _changes(cell):
            name = f"{own}({'.'.join(place[-2:] if place[0] == 'recover' else place)}={value})"
            plain = {**composed.plain, "attack": _with(composed.plain["attack"], place, value)}
            word = f"attack.{'.'.join(place)}={value}"
            changed = replace(composed, plain=plain, overrides=(*composed.overrides, word))
            try:
                found.append(_candidate(name, changed, cell_from(plain, interning)))
            except ConfigError as error:
                left_out[name] = str(error)
    return found, left_out


def _candidate(name: str, composed: Composed, cell: Cell) -> Candidate:
    facts = cell.facts()
    return Candidate(name, composed, bool(facts["adaptive"]), "refine" in facts)


def _changes(cell: Cell) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Where a parameter is, below ``attack``, and each other value that its part declares."""
    parts: dict[tuple[str, ...], Any] = {
        ("harvest",): cell.harvest,
        **{("recover", name): step for name, step in cell.recover.items()},
        ("objective",): cell.objective,
        **{("refine", name): step for name, step in cell.refine.items()},
    }
    for place, part in parts.items():
        for field, values in part.tunes.items():
            for value in values:
                if value != getattr(part, field):
                    yield (*place, field), value


def _with(attack: Mapping[str, Any], place: Sequence[str], value: Any) -> dict[str, Any]:
    """The configuration of an attack with another value at a place in it."""
    name, *below = place
    return {**attack, name: _with(attack[name], below, value) if below else value}
