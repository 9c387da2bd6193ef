"""The contract of a claim: what is predicted, a small grid that can show it, and how a verdict follows from results."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from configs.errors import ConfigError, require
from configs.identity import Part
from experiments.measure.summary import Summary
from experiments.report.finding import Finding

if TYPE_CHECKING:
    import polars as pl

    from experiments.cell import Cell
    from experiments.store.stage import Stage


@dataclass(frozen=True)
class Claim(Part, ABC):
    """A frozen dataclass that a ``claim`` YAML describes. It writes `judge`, or `measurement` and `judge_tables`.

    Defenses, attacks and families that a claim is about are fields, named in the YAML. A verdict follows from
    `Finding.evidence`; each ground there rests on an interval (`experiments.measure.verdict`), never on a value alone.

    >>> class Nothing(Claim):
    ...     name, version, source, statement = "nothing", 1, "an example", "Undefended cells lose nothing."
    ...     def judge(self, summaries):
    ...         lost = [s.headline_estimate("transfer_lost", "pooled") for s in summaries if not s.names]
    ...         grounds = [Ground("loss", v, says(v.reading, ["unchanged"], ["lost"])) for v in verdicts(lost)]
    ...         return Finding("", tuple(grounds)) if grounds else None

    Class attributes:
        label: number of the claim where the project counts it ("C1").
        source: who found it.
        statement: what is predicted, in one sentence.

    Args:
        grids: command lines of cells that let it be judged, as those of an experiment.
    """

    kind: ClassVar[str] = "claim"
    label: ClassVar[str] = ""
    source: ClassVar[str]
    statement: ClassVar[str]

    grids: tuple[str, ...]

    def judge(self, summaries: Sequence[Summary]) -> Finding | None:
        """What the cells of a report say of the claim; None where they do not let it be judged.

        Args:
            summaries: of all cells of the report, told apart and estimated.
        """
        return None

    def measurement(self, cell: Cell) -> Stage | None:
        """What is run for a cell of the grid in the place of its row; None for the row. A claim that has one is judged by
        its own command alone, since rows know nothing of it."""
        return None

    def judge_tables(self, tables: Sequence[pl.DataFrame]) -> Finding | None:
        """What the table ``measured`` of each cell's `measurement` says of the claim."""
        return None


def require_some(claim: Claim, *fields: str) -> None:
    """Raise `ConfigError` where a list of names that a claim needs is empty."""
    for field in fields:
        require(bool(getattr(claim, field)), field, getattr(claim, field), "must name at least one")


def order(claim: Claim) -> tuple[bool, int, str, str]:
    """Numbered claims first, by number, then the others by name."""
    return not claim.label, len(claim.label), claim.label, claim.name


def require_unique(claims: Sequence[Claim]) -> None:
    """Raise `ConfigError` where two claims have one name."""
    seen: dict[str, str] = {}
    for claim in claims:
        kind = f"{type(claim).__module__}.{type(claim).__qualname__}"
        if seen.setdefault(claim.name, kind) != kind:
            raise ConfigError("claim", claim.name, f"is the name of two claims: {seen[claim.name]} and {kind}")
